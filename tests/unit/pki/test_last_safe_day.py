"""The last day to act: a margin before the end, and a quarter of the lifetime where that is shorter."""

from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography import x509

from ownroot.pki.last_safe_day import DEVICE_CA_MARGIN, ROOT_MARGIN, SERVER_MARGIN, last_safe_day
from tests.support.certificates import factory_root

END = datetime(2032, 6, 30, 12, 0, 0, tzinfo=UTC)


def day_of(lifetime: timedelta, margin: timedelta, end: datetime = END) -> date:
    return last_safe_day(factory_root(not_before=end - lifetime, not_after=end).certificate, margin)


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (ROOT_MARGIN, date(2031, 7, 1)),  # 2032 has a 29 February
        (DEVICE_CA_MARGIN, date(2032, 4, 1)),
        (SERVER_MARGIN, date(2032, 5, 31)),
    ],
)
def test_long_lived_certificate_has_the_margin_of_its_kind(margin: timedelta, expected: date) -> None:
    assert day_of(timedelta(days=3650), margin) == expected


@pytest.mark.parametrize(
    ("lifetime", "before_end"),
    [
        (timedelta(days=121), timedelta(days=30)),
        (timedelta(days=120), timedelta(days=30)),
        (timedelta(days=116), timedelta(days=29)),
        (timedelta(days=28), timedelta(days=7)),
    ],
)
def test_certificate_of_less_than_four_margins_has_a_quarter_of_its_lifetime(
    lifetime: timedelta, before_end: timedelta
) -> None:
    assert day_of(lifetime, SERVER_MARGIN) == (END - before_end).date()


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (END.replace(hour=0), date(2032, 5, 31)),
        (END.replace(hour=23, minute=59, second=59), date(2032, 5, 31)),
        (END.replace(hour=0) - timedelta(seconds=1), date(2032, 5, 30)),
    ],
)
def test_day_is_the_utc_day_in_which_the_margin_begins(end: datetime, expected: date) -> None:
    assert day_of(timedelta(days=3650), SERVER_MARGIN, end) == expected


def test_certificate_of_an_hour_has_its_own_day() -> None:
    assert day_of(timedelta(hours=1), ROOT_MARGIN) == END.date()


def test_certificate_that_ends_before_it_begins_has_the_day_of_its_end() -> None:
    good = factory_root(not_before=END, not_after=END + timedelta(days=3650)).der
    begin, end = b"320630120000Z", b"420628120000Z"
    backwards = x509.load_der_x509_certificate(
        good.replace(begin, b"?" * 13).replace(end, begin).replace(b"?" * 13, end)
    )
    assert backwards.not_valid_after_utc == END
    assert last_safe_day(backwards, ROOT_MARGIN) == END.date()
