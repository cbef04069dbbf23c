"""`ownroot simulate --days` against a whole server, with the clock of both moved by the test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.moved_time import MovedTime
from tests.support.world import PROGRAM, RunningServer, running_server


@pytest.fixture
def moved_time(tmp_path: Path) -> MovedTime:
    return MovedTime(tmp_path)


@contextmanager
def serving(folder: Path, moved_time: MovedTime, *, certificate_days: int) -> Iterator[RunningServer]:
    settings = folder / "settings.toml"
    settings.write_text(f"[certificates]\ndevice_days = {certificate_days}\nrenewal_days = {certificate_days}\n")
    environment = dict(moved_time.environment)
    with running_server(folder, options=["--config", str(settings)], environment=environment) as server:
        yield server


def live(
    server: RunningServer, moved_time: MovedTime, folder: Path, *options: str, day: timedelta = timedelta(days=1)
) -> "tuple[int, list[str]]":
    """Let a fleet live, a day further whenever it says that one is over; return its exit code and its lines."""
    command = [PROGRAM, "simulate", *options, "--url", server.api_url, "-f", server.factory, "--dir", str(folder)]
    environment = {**os.environ, **moved_time.environment, "OWNROOT_TOKEN": server.owner_token}
    lines = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as fleet:
        assert fleet.stdout is not None
        for line in fleet.stdout:
            lines.append(line)
            if line.startswith("day"):
                moved_time.move_to(day * (int(line[3:].partition(":")[0]) + 1))
    return fleet.returncode, lines


@pytest.mark.parametrize(
    ("devices", "days", "certificate_days", "every"),
    [(4, 24, 12, 2), pytest.param(1000, 400, 200, 20, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])],
)
def test_fleet_renews_twice_and_no_device_is_lost(
    tmp_path: Path, moved_time: MovedTime, devices: int, days: int, certificate_days: int, every: int
) -> None:
    asked = ("--devices", str(devices), "--days", str(days), "--every", str(every))
    with serving(tmp_path, moved_time, certificate_days=certificate_days) as server:
        code, lines = live(server, moved_time, tmp_path / "fleet", *asked)
    assert code == 0, lines
    assert lines[-1] == "lost: 0\n"
    assert f"{devices:>8} devices renewed 2 times\n" in lines


def test_fleet_that_calls_too_seldom_to_renew_is_reported_lost(tmp_path: Path, moved_time: MovedTime) -> None:
    asked = ("--devices", "3", "--days", "20", "--every", "19")
    with serving(tmp_path, moved_time, certificate_days=16) as server:
        code, lines = live(server, moved_time, tmp_path / "fleet", *asked)
    assert code != 0
    assert "lost: 3\n" in lines
    assert len(lines[lines.index("lost: 3\n") + 1 :]) == 3
