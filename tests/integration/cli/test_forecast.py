"""`ownroot forecast` and what `doctor` makes of it, through the real program, against a real server."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest

from ownroot.clock import utc_now
from tests.integration.cli.test_devices import UUIDS, fleet
from tests.support.owner import Owner
from tests.support.relay import Instead, Relay
from tests.support.world import RunningServer

__all__ = ["fleet"]
_DAY = 86_400


def seen_every_day(server: RunningServer, uuid: str, *, ends: datetime) -> None:
    """Put a device's past into the database; a test cannot wait for years."""
    today = int(utc_now().timestamp()) // _DAY
    with closing(sqlite3.connect(server.data_dir / "ownroot.db")) as database, database:
        change = "UPDATE devices SET not_after = ?, seen_day = ?, last_seen = ? WHERE uuid = ? AND factory_id = ?"
        (factory,) = database.execute("SELECT id FROM factories WHERE name = ?", (server.factory,)).fetchone()
        values = (int(ends.timestamp()), today, today * _DAY, uuid, factory)
        assert database.execute(change, values).rowcount == 1


def codes(owner: Owner) -> set[str]:
    return {finding["code"] for finding in owner.run("doctor", "--json").json["findings"]}


@pytest.mark.usefixtures("fleet")
def test_certificates_of_registered_devices_end_with_what_was_issued(owner: Owner) -> None:
    found = owner.run("forecast", "--json").json
    (ca,) = found["device-cas"]
    assert (ca["later"]["devices"], ca["later"]["never-seen"], ca["unknown"], ca["weeks"]) == (2, 2, 0, [])
    assert ca["later"]["last-safe-day"] is None


def test_a_week_has_the_last_safe_day_of_its_first_device(
    taken: Owner, server: RunningServer, fleet: tuple[str, ...]
) -> None:
    end = utc_now() + timedelta(days=60)
    for uuid, later in zip(UUIDS, (0, 1), strict=True):
        seen_every_day(server, uuid, ends=end + timedelta(seconds=later))
    found = taken.run("forecast", "--json").json
    weeks = [week for ca in found["device-cas"] for week in ca["weeks"]]
    assert sum(week["devices"] for week in weeks) == len(fleet)
    first = weeks[0]
    assert date.fromisoformat(first["begins"]) <= end.date() < date.fromisoformat(first["begins"]) + timedelta(days=7)
    assert first["last-safe-day"] == (end.date() - timedelta(days=3)).isoformat()


def test_the_table_has_everything_that_ends_and_how_long_there_is(
    taken: Owner, server: RunningServer, fleet: tuple[str, ...]
) -> None:
    end = utc_now() + timedelta(days=60)
    for uuid in UUIDS[: len(fleet)]:
        seen_every_day(server, uuid, ends=end)
    shown = taken.run("forecast").out
    heading, *rows = shown.splitlines()
    assert heading.split()[:4] == ["ACT", "UNTIL", "LEFT", "ENDS"]
    assert "2 devices of CA " in rows[0]
    assert "57 days" in rows[0] or "56 days" in rows[0]  # midnight may pass between the two clocks
    for part in ("Factory root", "Gateway TLS certificate", "Online device CA", "TUF root, version 2", "TUF timestamp"):
        assert part in shown


@pytest.mark.usefixtures("fleet")
def test_a_terminal_too_narrow_for_serials_shows_their_beginning_unbroken(owner: Owner) -> None:
    """It has 100 columns; see `tests.support.owner`."""
    (ca,) = owner.run("forecast", "--json").json["device-cas"]
    lines = owner.run_on_terminal("forecast").out.splitlines()
    assert any(f"2 devices of CA {ca['serial'][:8]}…" in line for line in lines)
    assert ca["serial"] in owner.run("forecast").out


def test_weeks_say_how_far_devices_are_listed_by_week(
    owner: Owner, server: RunningServer, fleet: tuple[str, ...]
) -> None:
    for uuid in UUIDS[: len(fleet)]:
        seen_every_day(server, uuid, ends=utc_now() + timedelta(days=60))
    (near,) = owner.run("forecast", "--json", "--weeks", "2").json["device-cas"]
    (far,) = owner.run("forecast", "--json", "--weeks", "20").json["device-cas"]
    assert (near["weeks"], near["later"]["devices"]) == ([], 2)
    assert (len(far["weeks"]), far["later"]["devices"]) == (1, 0)


def test_doctor_warns_of_devices_past_their_last_safe_day_and_not_of_those_before_it(
    taken: Owner, server: RunningServer, fleet: tuple[str, ...]
) -> None:
    for uuid in UUIDS[: len(fleet)]:
        seen_every_day(server, uuid, ends=utc_now() + timedelta(days=5))
    assert "devices-overdue" not in codes(taken)
    seen_every_day(server, UUIDS[0], ends=utc_now() + timedelta(days=1))
    assert "devices-overdue" in codes(taken)


def test_doctor_warns_of_a_ca_that_ends_before_its_devices(
    taken: Owner, server: RunningServer, fleet: tuple[str, ...]
) -> None:
    assert "device-ca-ends-first" not in codes(taken)
    for uuid in UUIDS[: len(fleet)]:
        seen_every_day(server, uuid, ends=datetime(2099, 1, 1, tzinfo=UTC))
    assert "device-ca-ends-first" in codes(taken)


def test_a_server_of_another_make_has_no_forecast_and_doctor_does_without(taken: Owner, relay: Relay) -> None:
    relay.spoil = lambda request: Instead(404, b"{}") if "/forecast/" in request.path else None
    done = taken.run("forecast", "--json")
    assert (done.code, done.error["code"]) == (6, "forecast-not-offered")
    assert taken.run("doctor").code == 0


def test_who_may_not_read_the_pki_gets_no_forecast(server: RunningServer) -> None:
    path = f"/ota/factories/{server.factory}/forecast/"
    assert server.call("GET", path).status_code == 200
    assert server.call("GET", f"{path}?weeks=0").status_code == 400
    assert server.call("GET", path, token=server.create_token("devices:read", user="somebody")).status_code == 403
    assert server.call("GET", path, token=None).status_code == 401
