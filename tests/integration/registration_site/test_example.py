"""The customer's project of `examples/registration-fork`: installed beside the server, a real device, its own test."""

import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.registration_site.test_sign import request
from tests.support.announcement_receivers import receiver
from tests.support.device_program import DeviceProgram
from tests.support.identity_on_token import assert_complete
from tests.support.registration_site import RegistrationSite, registration_site
from tests.support.repository import ROOT
from tests.support.softhsm import soft_hsm

EXAMPLE = ROOT / "examples" / "registration-fork"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as pip installs it, entry point included."""
    place = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(place)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(EXAMPLE)], check=True, timeout=120)
    return place


def bench(folder: Path) -> Path:
    path = folder / "bench.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE boards (uuid TEXT, passed INTEGER, product TEXT)")
        connection.executemany(
            "INSERT INTO boards VALUES (?, ?, 'pump')",
            [("board-1", 1), ("board-2", 0), ("board-3", 1), ("board-4", 1), ("board-6", 1)],
        )
    return path


def test_installed_project_decides_and_is_told(installed: Path, pki: Path, tmp_path: Path) -> None:
    with receiver() as erp:
        environment = {
            "PYTHONPATH": str(installed),
            "ACME_BENCH_DB": str(bench(tmp_path)),
            "ACME_BACKEND_URL": erp.url,
        }
        with registration_site(tmp_path, pki=pki, environment=environment) as site:
            files = site.sign(request("board-1")).files
            assert tomllib.loads(files["sota.toml"])["pacman"]["tags"] == "stable,pump"
            failed = site.sign(request("board-2"))
            assert (failed.status, failed.problem["message"]) == (
                403,
                "Board board-2 failed its test; send it to rework.",
            )
            assert site.sign(request("board-5")).status == 403
            (told,) = erp.await_(1)
            assert (told.document["board"], told.document["group"]) == ("board-1", "pump")
            assert told.headers["idempotency-key"].startswith("registered-")


@pytest.fixture(scope="module")
def fork(installed: Path, pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrationSite]:
    """A server with the project's rules, whose own backend is away: nobody waits for that."""
    folder = tmp_path_factory.mktemp("fork")
    environment = {"PYTHONPATH": str(installed), "ACME_BENCH_DB": str(bench(folder)), "ACME_BACKEND_URL": ""}
    with registration_site(folder, pki=pki, environment=environment) as site:
        yield site


@pytest.fixture
def board(fork: RegistrationSite, tmp_path: Path) -> DeviceProgram:
    return DeviceProgram(tmp_path / "sota", f"{fork.url}/sign", "acme")


def test_device_with_its_key_in_a_file_is_registered_by_the_rules_of_the_fork(board: DeviceProgram) -> None:
    board.registered("--uuid", "board-1")
    assert board.files == ["client.chained", "client.pem", "pkey.pem", "root.crt", "sota.toml"]
    settings = tomllib.loads((board.directory / "sota.toml").read_text())
    assert settings["pacman"]["tags"] == "stable,pump"


def test_device_with_its_key_on_a_token_is_registered_by_the_rules_of_the_fork(
    board: DeviceProgram, tmp_path: Path
) -> None:
    hsm = soft_hsm(tmp_path / "hsm", empty=True)
    on_token = replace(board, hsm=hsm)
    on_token.registered("--uuid", "board-3")
    assert_complete(on_token, hsm, tmp_path)


def test_device_that_failed_its_test_reads_why_and_keeps_nothing_that_looks_registered(board: DeviceProgram) -> None:
    refused = board.register("--uuid", "board-2")
    assert refused.returncode == 4
    assert "Board board-2 failed its test; send it to rework." in refused.stderr
    assert "client.pem" not in board.files


def test_board_that_passes_after_a_refusal_was_not_registered_before(board: DeviceProgram) -> None:
    assert board.register("--uuid", "board-2").returncode == 4
    said = board.register("--uuid", "board-6").stdout
    assert said.startswith("Registered board-6")
    assert "again" not in said


def test_registration_cut_by_a_power_failure_goes_on_at_the_fork_with_the_same_certificate(
    board: DeviceProgram, fork: RegistrationSite
) -> None:
    board.register_cut("ownroot.device.registration:verify_reply", "before", 1, "--uuid", "board-4")
    assert board.registered("--uuid", "board-4")["uuid"] == "board-4"
    serials = [entry["serial"] for entry in fork.entries() if entry["uuid"] == "board-4"]
    assert (len(serials), len(set(serials))) == (2, 1)


def test_bench_that_cannot_be_asked_lets_nobody_in(installed: Path, pki: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(installed), "ACME_BENCH_DB": str(tmp_path / "none.db"), "ACME_BACKEND_URL": ""}
    with registration_site(tmp_path, pki=pki, environment=environment) as site:
        assert site.sign(request("board-1")).problem["code"] == "hook-failed"


def test_projects_own_test_passes() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLE), str(EXAMPLE)]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_project_stays_under_a_hundred_lines() -> None:
    lines = [line for path in EXAMPLE.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines() if line]
    assert len(lines) < 100
