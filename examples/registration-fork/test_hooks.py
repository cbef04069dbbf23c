"""The rules alone, as ACME tests them; no server is needed for it."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from acme_line.hooks import before_signing

from ownroot.registration.hooks import Applicant, Enrich, Refuse, Verdict

BOARD = Applicant(
    uuid="board-1",
    name="board-1",
    hardware_id="imx8",
    factory="acme",
    group=None,
    is_production=False,
    key_sha256="00" * 32,
    operator="station-7",
    client_address="10.0.0.7",
    at=datetime(2026, 11, 26, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("passed", "verdict"),
    [
        (1, Enrich(group="pump", tags=("stable", "pump"))),
        (0, Refuse("Board board-1 failed its test; send it to rework.")),
        (None, Refuse("Board board-1 was never on the test bench.")),
    ],
)
def test_only_boards_that_passed_get_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: int | None, verdict: Verdict
) -> None:
    with sqlite3.connect(tmp_path / "bench.db") as bench:
        bench.execute("CREATE TABLE boards (uuid TEXT, passed INTEGER, product TEXT)")
        if passed is not None:
            bench.execute("INSERT INTO boards VALUES ('board-1', ?, 'pump')", (passed,))
    monkeypatch.setenv("ACME_BENCH_DB", str(tmp_path / "bench.db"))
    assert before_signing(BOARD) == verdict
