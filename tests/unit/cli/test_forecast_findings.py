"""What `doctor` makes of a forecast: nothing of a quiet one, and one thing for each thing that is not."""

from datetime import date, timedelta
from typing import Any

import pytest

from ownroot.cli.findings import Severity
from ownroot.cli.forecast_findings import ending_soon
from ownroot.wire.forecast import CaForecast, EndingDevices, ForecastObject, TufForecast

TODAY = date(2026, 11, 23)
WARNING, FAULT = Severity.WARNING, Severity.FAULT


def day(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()


def week(devices: int = 5, *, safe: int | None = 200, **changes: Any) -> EndingDevices:
    last = None if safe is None else day(safe)
    return EndingDevices(**{"begins": day(210), "devices": devices, "last_safe_day": last, **changes})


def ca(*weeks: EndingDevices, **changes: Any) -> CaForecast:
    values: dict[str, Any] = {
        "serial": "7",
        "not_after": day(3000),
        "unknown": 0,
        "expired": 0,
        "beyond_ca": 0,
        "weeks": weeks,
        "later": EndingDevices(begins=day(400)),
    }
    return CaForecast(**(values | changes))


def root(**changes: Any) -> TufForecast:
    values: dict[str, Any] = {
        "role": "root",
        "chain": "ci",
        "version": 2,
        "expires": day(300),
        "keys": 1,
        "threshold": 1,
        "by_owner": True,
        "server_key": True,
        "last_safe_day": day(270),
    }
    return TufForecast(**(values | changes))


def found(*cas: CaForecast, tuf: tuple[TufForecast, ...] = (), within: int = 60) -> list[tuple[Severity, str]]:
    forecast = ForecastObject(
        factory="acme", now=f"{TODAY}T12:00:00+00:00", weeks=26, device_cas=cas, without_ca=0, tuf=tuf
    )
    return [(one.severity, one.code) for one in ending_soon(forecast, today=TODAY, within=timedelta(days=within))]


def test_a_quiet_forecast_gives_no_findings() -> None:
    assert found(ca(week(), unknown=3), ca(), tuf=(root(),)) == []


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (ca(week(overdue=1)), "devices-overdue"),
        (ca(later=week(overdue=2)), "devices-overdue"),
        (ca(week(), expired=1), "devices-expired"),
        (ca(week(), beyond_ca=1), "device-ca-ends-first"),
        (ca(week(10, safe=60)), "certificate-wave"),
        (ca(week(10, safe=60), later=week(90)), "certificate-wave"),
    ],
)
def test_what_devices_need_is_a_warning(seen: CaForecast, code: str) -> None:
    assert found(seen) == [(WARNING, code)]


@pytest.mark.parametrize(
    "quiet",
    [
        ca(week(9, safe=60)),  # too few
        ca(week(10, safe=61)),  # too far away
        ca(week(10, safe=60), later=week(91)),  # less than a tenth
        ca(week(10, safe=None, rarely_seen=10)),  # nobody can tell when
        ca(week(rarely_seen=5, never_seen=0)),
    ],
)
def test_a_wave_is_many_and_soon_and_of_devices_that_are_seen(quiet: CaForecast) -> None:
    assert found(quiet) == []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (root(last_safe_day=day(60)), [(WARNING, "tuf-last-safe-day-near")]),
        (root(last_safe_day=day(61)), []),
        (root(last_safe_day=day(0)), [(WARNING, "tuf-last-safe-day-near")]),
        (root(last_safe_day=day(-1)), [(FAULT, "tuf-last-safe-day-passed")]),
        (root(role="timestamp", by_owner=False, last_safe_day=day(0)), []),  # the server is about to
        (root(role="timestamp", by_owner=False, last_safe_day=day(-1)), [(FAULT, "tuf-last-safe-day-passed")]),
        (root(server_key=False, keys=2, threshold=2), [(WARNING, "tuf-root-without-spare")]),
        (root(server_key=False, keys=3, threshold=2), []),
        (root(role="targets", server_key=False), []),  # a new root gives the role other keys
    ],
)
def test_tuf_documents_that_need_somebody(document: TufForecast, expected: list[tuple[Severity, str]]) -> None:
    assert found(tuf=(document,)) == expected
