"""The customer's project of `examples/registration-fork`: installed beside the server, and its own test."""

import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.integration.registration_site.test_sign import request
from tests.support.announcement_receivers import receiver
from tests.support.registration_site import registration_site
from tests.support.repository import ROOT

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
        connection.executemany("INSERT INTO boards VALUES (?, ?, 'pump')", [("board-1", 1), ("board-2", 0)])
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
            assert site.sign(request("board-3")).status == 403
            (told,) = erp.await_(1)
            assert (told.document["board"], told.document["group"]) == ("board-1", "pump")
            assert told.headers["idempotency-key"].startswith("registered-")


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
