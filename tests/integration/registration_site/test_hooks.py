"""A customer's own code: allows, refuses, enriches, is told afterwards, and fails closed.

Source: registration.md §12 row 7; `registration/hooks.py`.
"""

import json
import time
import tomllib
from pathlib import Path

import pytest

from tests.integration.registration_site.test_sign import request
from tests.support.registration_site import registration_site

HOOKS = """
import os, time
from pathlib import Path
from ownroot.registration.hooks import Allow, Applicant, DeviceRegistered, Enrich, Refuse, Verdict

HERE = Path(__file__).parent

def before_signing(applicant: Applicant) -> Verdict:
    (HERE / "asked").open("a").write(applicant.uuid + "\\n")
    if applicant.uuid.startswith("bad"):
        return Refuse(f"board {applicant.uuid} failed its test")
    if applicant.uuid.startswith("odd"):
        return "yes"
    if applicant.uuid.startswith("boom"):
        raise RuntimeError("the test database is down")
    if applicant.uuid.startswith("slow"):
        time.sleep(30)
    if applicant.uuid.startswith("rich"):
        return Enrich(name="pump-" + applicant.uuid, group="edge", tags=("stable", "pumps"))
    if applicant.uuid.startswith("twisted"):
        return Enrich(name="../x")
    return Allow()

def after_signing(registered: DeviceRegistered) -> None:
    if not (HERE / "backend-is-up").exists():
        raise ConnectionError("own backend is down")
    with (HERE / "told").open("a") as stream:
        stream.write(registered.uuid + " " + registered.event_id + "\\n")
"""


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    path = tmp_path / "hooks.py"
    path.write_text(HOOKS)
    return path


def test_hook_allows_refuses_and_enriches(pki: Path, hooks: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--hooks", str(hooks), pki=pki) as site:
        assert site.sign(request("good-1")).status == 201
        refused = site.sign(request("bad-1"))
        assert (refused.status, refused.problem["code"]) == (403, "refused-by-hook")
        assert refused.problem["message"] == "board bad-1 failed its test"
        files = site.sign(request("rich-1", overrides={"pacman": {"tags": '"main"'}})).files
        assert tomllib.loads(files["sota.toml"])["pacman"]["tags"] == "stable,pumps"
        assert [entry["name"] for entry in site.entries("registered")] == ["good-1", "pump-rich-1"]
        assert [entry["code"] for entry in site.entries("refused")] == ["refused-by-hook"]


def test_repeat_is_answered_without_asking_again_and_keeps_its_tags(pki: Path, hooks: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--hooks", str(hooks), pki=pki) as site:
        document = request("rich-1")
        assert site.sign(document).files == site.sign(document).files
    assert (tmp_path / "asked").read_text() == "rich-1\n"


@pytest.mark.parametrize(
    ("uuid", "code"),
    [("boom-1", "hook-failed"), ("odd-1", "hook-failed"), ("twisted-1", "hook-failed"), ("slow-1", "hook-too-slow")],
)
def test_hook_that_fails_refuses_the_device_for_now(
    pki: Path, hooks: Path, tmp_path: Path, uuid: str, code: str
) -> None:
    with registration_site(tmp_path, "--hooks", str(hooks), "--hook-seconds", "0.3", pki=pki) as site:
        refused = site.sign(request(uuid))
        assert (refused.status, refused.problem["code"]) == (503, code)
        assert "database is down" not in refused.problem["message"]
        assert site.entries("registered") == []
        assert site.sign(request("good-1")).status == 201


def test_log_says_which_line_of_a_hook_raised_for_which_board(pki: Path, hooks: Path, tmp_path: Path) -> None:
    number = HOOKS.splitlines().index('        raise RuntimeError("the test database is down")') + 1
    with registration_site(tmp_path, "--hooks", str(hooks), pki=pki) as site:
        assert site.sign(request("boom-1")).status == 503
        (entry,) = [json.loads(line) for line in site.log.splitlines() if "the test database is down" in line]
    assert (entry["uuid"], entry["lines"]) == ("boom-1", f"{hooks}:{number}")


def test_failing_after_hook_loses_no_registration_and_is_told_once_it_works(
    pki: Path, hooks: Path, tmp_path: Path
) -> None:
    with registration_site(tmp_path, "--hooks", str(hooks), pki=pki) as site:
        assert site.sign(request("good-1")).status == 201
        assert site.sign(request("good-2")).status == 201
        deadline = time.monotonic() + 10
        while not (target := site.operate("queue")["targets"][0])["fault"]:
            assert time.monotonic() < deadline
        assert "own backend is down" in target["fault"]
        (tmp_path / "backend-is-up").touch()
        site.operate("retry")
        while not (tmp_path / "told").exists() or (tmp_path / "told").read_text().count("\n") < 2:
            assert time.monotonic() < deadline + 10
            time.sleep(0.05)
    told = [line.split()[0] for line in (tmp_path / "told").read_text().splitlines()]
    assert told == ["good-1", "good-2"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere", "ModuleNotFoundError"),
        ("x = 1", "neither"),
        ("before_signing = 5", "functions"),
        ("def before_signing(): ...", "one argument"),
        ("def after_signing(device, extra): ...", "one argument"),
    ],
)
def test_server_does_not_start_with_hooks_it_cannot_ask(pki: Path, tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "hooks.py").write_text(text)
    with registration_site(tmp_path, pki=pki, start=False) as site:
        said = site.refuse_to_start("--hooks", str(tmp_path / "hooks.py"))
        assert "hooks-unusable" in said
        assert reason in said
