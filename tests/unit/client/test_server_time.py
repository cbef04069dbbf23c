"""The server's clock as its Date header tells it: whatever a server writes there, the command goes on."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ownroot.client.api import _server_time
from ownroot.client.transport import Answer

SEVEN = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)


def _said(date: str | None) -> datetime | None:
    return _server_time(Answer("GET", "http://gw", 200, {} if date is None else {"date": date}, b""))


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize(
    "date",
    [
        "Thu, 26 Nov 2026 07:00:00 GMT",
        "Thu, 26 Nov 2026 16:00:00 +0900",
        "Thu, 26 Nov 2026 07:00:00 -0000",
        "Thu, 26 Nov 2026 07:00:00",
    ],
)
def test_a_date_is_read_as_utc_unless_it_names_a_zone(date: str) -> None:
    assert _said(date) == SEVEN


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "yesterday",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 31 Dec 2026 23:59:59 +9999999999999999999",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
    ],
)
def test_a_date_that_is_none_is_no_error(date: str | None) -> None:
    assert _said(date) is None
