"""What a site says when no board could register now, and that it notices its journal being taken away."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.registration_site.test_sign import request
from tests.support.registration_site import RegistrationSite, registration_site

PATIENCE_SECONDS = 30


def ready(site: RegistrationSite) -> tuple[int, str]:
    answer = site.send("GET", "/readyz")
    return answer.status, "" if answer.status == 200 else answer.problem["code"]


def await_ready(site: RegistrationSite, is_so: Callable[[tuple[int, str]], bool]) -> tuple[int, str]:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so(found := ready(site)):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--closes", "2026-01-01"), "registered devices until 2026-01-01"),
        (("--opens", "2199-01-01"), "registers devices from 2199-01-01"),
        (("--closes", "2199-01-01"), ""),
    ],
)
def test_server_that_starts_outside_its_window_says_so(
    pki: Path, tmp_path: Path, options: tuple[str, str], said: str
) -> None:
    with registration_site(tmp_path, *options, pki=pki) as site:
        ready(site)
        site.stop()
        assert said in site.log
        assert ("This server regist" in site.log) is bool(said)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--closes", "2026-01-01"), "window-closed"),
        (("--opens", "2199-01-01"), "window-not-open-yet"),
        (("--quota", "0"), "quota-used-up"),
        (("--quota-per-day", "0"), "quota-used-up"),
    ],
)
def test_site_that_registers_nobody_is_not_ready(
    pki: Path, tmp_path: Path, options: tuple[str, str], code: str
) -> None:
    with registration_site(tmp_path, *options, pki=pki) as site:
        assert ready(site) == (503, code)
        assert site.sign(request("board-1")).status == 403


def test_site_is_ready_on_the_day_it_closes_and_with_room_left(pki: Path, tmp_path: Path) -> None:
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 60))
    with registration_site(tmp_path, "--closes", today, "--quota", "1", pki=pki) as site:
        assert ready(site) == (200, "")
        assert site.sign(request("board-1")).status == 201
        assert ready(site) == (503, "quota-used-up")


def test_site_whose_journal_was_taken_away_registers_nobody_more(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=pki) as site:
        assert site.sign(request("board-1")).status == 201
        journal = site.data / "journal.db"
        moved = journal.rename(site.data / "taken")
        assert await_ready(site, lambda found: found[0] == 503) == (503, "journal-replaced")
        answer = site.sign(request("board-2"))
        assert (answer.status, answer.problem["code"]) == (503, "journal-replaced")
        assert "was removed or replaced" in site.log
        moved.rename(journal)
        site.stop()
        site.start()
        assert ready(site) == (200, "")
        assert site.sign(request("board-2")).status == 201
        assert [entry["uuid"] for entry in site.entries("registered")] == ["board-1", "board-2"]


def test_settings_with_dates_and_hooks_beside_them_are_taken(pki: Path, tmp_path: Path) -> None:
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "line.py").write_text("def before_signing(device):\n    return None\n")
    settings = folder / "site.toml"
    settings.write_text('closes = 2199-12-31\nopens = 2020-01-01T00:00:00\nhooks = ["line.py"]\n')
    with registration_site(tmp_path, "--config", str(settings), pki=pki) as site:
        assert ready(site) == (200, "")


def test_settings_of_the_wrong_type_or_nowhere_are_named(pki: Path, tmp_path: Path) -> None:
    settings = tmp_path / "site.toml"
    settings.write_text("allow-list = 5\n")
    with registration_site(tmp_path, pki=pki, start=False) as site:
        refused = site.refuse_to_start("--config", str(settings))
        assert "config-invalid" in refused
        assert "allow_list" in refused
        assert "site-settings-unreadable" in site.refuse_to_start("--config", str(tmp_path / "nowhere.toml"))
