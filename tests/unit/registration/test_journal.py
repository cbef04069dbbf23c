"""The journal itself: many works in one commit, one work's error is its own, and a store that fails fails aloud."""

import asyncio
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest

from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError, NotFoundError, UnavailableError
from ownroot.registration.journal import JOURNAL_FILE, Journal, only_server, opened_journal


def add(name: str) -> object:
    def work(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO tokens (name, sha256, made_at) VALUES (?, ?, '')", (name, name.encode()))
        return name

    return work


def names(journal: Journal) -> list[str]:
    return [name for (name,) in journal.read(lambda c: c.execute("SELECT name FROM tokens ORDER BY name").fetchall())]


def run(journal: Journal, *works: object) -> list[object]:
    async def go() -> list[object]:
        journal.serve(asyncio.get_running_loop())
        return await asyncio.gather(*(journal.commit(work) for work in works), return_exceptions=True)  # type: ignore[arg-type]

    return asyncio.run(go())


def test_works_of_one_moment_share_a_commit(tmp_path: Path) -> None:
    with opened_journal(tmp_path / "site") as journal:
        assert run(journal, *map(add, "abc")) == ["a", "b", "c"]
        assert (journal.commits, names(journal)) == (1, ["a", "b", "c"])


@pytest.mark.parametrize(("turns", "commits"), [(2, 1), (9, 2)])
def test_work_that_is_on_its_way_is_waited_for_a_late_one_is_not(tmp_path: Path, turns: int, commits: int) -> None:
    async def come_after(turns: int, journal: Journal) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await journal.commit(add("b"))  # type: ignore[arg-type]

    async def go(journal: Journal) -> None:
        journal.serve(asyncio.get_running_loop())
        await asyncio.gather(journal.commit(add("a")), come_after(turns, journal))  # type: ignore[arg-type]

    with opened_journal(tmp_path / "site") as journal:
        asyncio.run(go(journal))
        assert (journal.commits, names(journal)) == (commits, ["a", "b"])


def test_error_of_one_work_is_its_own(tmp_path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tokens (name, sha256, made_at) VALUES ('lost', x'00', '')")
        raise NotFoundError("none", "None.")

    with opened_journal(tmp_path / "site") as journal:
        first, failed, last = run(journal, add("a"), fail, add("b"))
        assert (first, last) == ("a", "b")
        assert isinstance(failed, NotFoundError)
        assert names(journal) == ["a", "b"]


def test_store_that_fails_fails_all_and_works_again(tmp_path: Path) -> None:
    def full(_connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with opened_journal(tmp_path / "site") as journal:
        outcomes = run(journal, add("a"), full)
        assert [getattr(outcome, "code", "") for outcome in outcomes] == ["journal-unavailable"] * 2
        assert names(journal) == []
        assert journal.commits == 0


def test_command_beside_the_server_is_waited_for(tmp_path: Path) -> None:
    with opened_journal(tmp_path / "site") as journal:
        command = sqlite3.connect(tmp_path / "site" / JOURNAL_FILE, isolation_level=None, check_same_thread=False)
        command.execute("BEGIN IMMEDIATE")

        def end() -> None:
            time.sleep(0.3)
            command.execute("COMMIT")

        threading.Thread(target=end).start()
        assert run(journal, add("a")) == ["a"]
        command.close()


def test_thread_beside_the_loop_shares_its_commits(tmp_path: Path) -> None:
    async def go(journal: Journal) -> str:
        journal.serve(asyncio.get_running_loop())
        return await asyncio.to_thread(journal.write, add("a"))  # type: ignore[arg-type]

    with opened_journal(tmp_path / "site") as journal:
        assert asyncio.run(go(journal)) == "a"
        assert journal.commits == 1


def test_without_a_loop_every_work_is_a_commit_of_its_own(tmp_path: Path) -> None:
    with opened_journal(tmp_path / "site") as journal:
        assert journal.write(add("a")) == "a"  # type: ignore[arg-type]
        with pytest.raises(UnavailableError):
            journal.write(lambda connection: connection.execute("nonsense"))
        assert names(journal) == ["a"]


def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    with opened_journal(tmp_path / "site"):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "site").iterdir()}
    assert set(modes.values()) == {0o600}


def test_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site").chmod(0o777)
    with pytest.raises(KeyStoreError, match="data-directory-mode"):
        Journal(tmp_path / "site")


def test_journal_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    with opened_journal(tmp_path / "site") as journal:
        journal.write(lambda connection: connection.execute("PRAGMA user_version=99"))
    with pytest.raises(InvalidInputError, match="journal-too-new"):
        Journal(tmp_path / "site")


def test_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / JOURNAL_FILE).write_bytes(os.urandom(8192))
    with pytest.raises(UnavailableError, match="journal-unavailable"):
        Journal(tmp_path / "site")


@pytest.mark.parametrize("broken_at", [0, 4096])
def test_operator_of_a_damaged_journal_reads_which_file_and_why(tmp_path: Path, broken_at: int) -> None:
    with opened_journal(tmp_path / "site"):
        pass
    path = tmp_path / "site" / JOURNAL_FILE
    sound = path.read_bytes()
    path.write_bytes(sound[:broken_at] + b"\xa5" * (len(sound) - broken_at))
    with pytest.raises(UnavailableError) as caught, opened_journal(tmp_path / "site") as journal:
        names(journal)
    assert caught.value.code == "journal-unavailable"
    assert str(path) in caught.value.detail
    assert str(caught.value.context["cause"]) in caught.value.detail


def test_stranger_who_asks_the_server_reads_neither(tmp_path: Path) -> None:
    with opened_journal(tmp_path / "site") as journal, pytest.raises(UnavailableError) as answered:
        journal.read(lambda connection: connection.execute("nonsense"))
    assert "nonsense" not in answered.value.detail
    assert str(tmp_path) not in answered.value.detail


def test_one_directory_has_one_server(tmp_path: Path) -> None:
    site = tmp_path / "site"
    with only_server(site), pytest.raises(ConflictError, match="already-serving"), only_server(site):
        pass
    with only_server(site):
        pass
