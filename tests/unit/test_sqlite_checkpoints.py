"""The checkpointer against real databases: when it folds the log, and that it never makes or harms a database."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ownroot.sqlite_checkpoints import Checkpointer

PATIENCE_SECONDS = 30


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a database in WAL mode that never folds its log itself."""
    with closing(sqlite3.connect(tmp_path / "some.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE entry (text TEXT)")
        yield connection


def write(connection: sqlite3.Connection, checkpointer: Checkpointer) -> None:
    connection.execute("INSERT INTO entry VALUES (?)", ("x" * 10_000,))
    checkpointer.committed()


def grows_within(file: Path, seconds: float, *, beyond: int) -> bool:
    """Wait until the database itself, without its log, is longer."""
    end = time.monotonic() + seconds
    while file.stat().st_size <= beyond:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_log_is_folded_at_every_nth_commit_and_at_none_before(writer: sqlite3.Connection, tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    checkpointer = Checkpointer(file, commits=3)
    before = file.stat().st_size
    write(writer, checkpointer)
    write(writer, checkpointer)
    assert not grows_within(file, 0.3, beyond=before)
    write(writer, checkpointer)
    assert grows_within(file, PATIENCE_SECONDS, beyond=before)
    after = file.stat().st_size
    for _ in range(3):
        write(writer, checkpointer)
    assert grows_within(file, PATIENCE_SECONDS, beyond=after)
    checkpointer.close()
    assert writer.execute("SELECT count(*) FROM entry").fetchone() == (6,)
    assert writer.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_writer_that_is_in_a_transaction_is_not_held_up(writer: sqlite3.Connection, tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    before = file.stat().st_size
    checkpointer = Checkpointer(file, commits=1)
    write(writer, checkpointer)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO entry VALUES ('open')")
    checkpointer.committed()
    assert grows_within(file, PATIENCE_SECONDS, beyond=before)
    writer.execute("COMMIT")
    checkpointer.close()


def test_database_that_was_taken_away_is_not_made_again(
    writer: sqlite3.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = tmp_path / "some.db"
    checkpointer = Checkpointer(moved, commits=1)
    moved.rename(tmp_path / "other.db")
    checkpointer.committed()
    end = time.monotonic() + PATIENCE_SECONDS
    while "could not be checkpointed" not in caplog.text and time.monotonic() < end:
        time.sleep(0.01)
    checkpointer.close()
    assert "some.db could not be checkpointed" in caplog.text
    assert not moved.exists()


def test_closing_twice_does_nothing_more(writer: sqlite3.Connection, tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path / "some.db")
    checkpointer.close()
    checkpointer.close()
