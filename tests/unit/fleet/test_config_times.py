"""Times of configurations, and what they make of `If-Modified-Since`."""

from datetime import UTC, datetime, timedelta

import pytest

from ownroot.fleet.config_times import (
    ConfigAnswer,
    ConfigTimes,
    decide_answer,
    next_time,
    parse_http_date,
    print_http_date,
)

NOW = datetime(2026, 11, 23, 9, 27, 14, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
C = ConfigAnswer


def test_time_of_a_change_is_now_unless_that_was_seen_already() -> None:
    assert next_time(NOW, after=0) == SECONDS
    assert next_time(NOW, after=SECONDS) == SECONDS + 1
    assert next_time(NOW, after=SECONDS + 5) == SECONDS + 6


def test_effective_time_is_the_newest() -> None:
    assert ConfigTimes(1, 3, 2).effective == 3
    assert ConfigTimes().effective == 0


@pytest.mark.parametrize(
    ("since", "anew", "answer"),
    [
        (None, False, C.CONTENT),
        ("Mon, 23 Nov 2026 09:27:14 UTC", False, C.NOT_MODIFIED),
        ("Mon, 23 Nov 2026 09:27:14 GMT", False, C.NOT_MODIFIED),
        ("Mon, 23 Nov 2026 09:27:13 UTC", False, C.CONTENT),
        ("Mon, 23 Nov 2026 09:28:14 UTC", False, C.NOT_MODIFIED),
        ("Mon, 23 Nov 2026 09:28:15 UTC", False, C.CONTENT),
        ("Mon, 23 Nov 2026 09:27:14 UTC", True, C.CONTENT),
        ("yesterday", False, C.CONTENT),
        ("", False, C.CONTENT),
    ],
)
def test_answer_follows_from_the_devices_copy(since: str | None, anew: bool, answer: ConfigAnswer) -> None:
    assert decide_answer(SECONDS, since, fetch_anew=anew, now=NOW) is answer


def test_nothing_was_ever_configured() -> None:
    assert decide_answer(0, None, fetch_anew=True, now=NOW) is C.NOTHING_EVER


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 23 Nov 2026 09:27:14",
        "Mon, 23 Nov 2026 09:27:14 +0000",
        "Mon, 23 Nov 2026 09:27:14 EST",
        "Monday, 23-Nov-26 09:27:14 GMT",
        "Mon Nov 23 09:27:14 2026",
        "Mon, 31 Feb 2026 09:27:14 GMT",
        "Mon, 23 Now 2026 09:27:14 GMT",
        "Mon, 23 Nov 2026 25:27:14 GMT",
        "Mon, 23 Nov 0000 09:27:14 GMT",
        "Mon, 2३ Nov 2026 09:27:14 GMT",
    ],
)
def test_other_forms_of_a_date_do_not_count(text: str) -> None:
    assert parse_http_date(text) is None


@pytest.mark.parametrize("seconds", [0, 951782400, SECONDS, SECONDS + 86400 * 40])
def test_printed_date_reads_back(seconds: int) -> None:
    for zone in ("GMT", "UTC"):
        assert parse_http_date(print_http_date(seconds, zone=zone)) == datetime.fromtimestamp(seconds, UTC)
    assert print_http_date(SECONDS, zone="UTC") == "Mon, 23 Nov 2026 09:27:14 UTC"
    assert parse_http_date(print_http_date(seconds)) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
