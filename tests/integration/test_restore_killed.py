"""A restore that is killed at any moment: no database, or the whole one that knows it was restored."""

import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.storage import open_database
from tests.support.world import PROGRAM, operate

_LEFT = ".restore-"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data directory `data` and its backup `backup.tar`, large enough to be killed at work."""
    folder = tmp_path_factory.mktemp("made")
    operate(folder / "data", "factory", "create", "acme")
    with closing(sqlite3.connect(folder / "data" / "ownroot.db")) as database, database:
        database.execute("INSERT INTO facts (name, value) VALUES ('ballast', hex(randomblob(20000000)))")
    operate(folder / "data", "backup", str(folder / "backup.tar"))
    return folder


@pytest.fixture
def target(made: Path, tmp_path: Path) -> Path:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    shutil.copy2(made / "data" / "kek", target / "kek")
    return target


def killed_restore(made: Path, target: Path, *, after: float) -> None:
    """Kill a restore this long after it began to write."""
    words = [PROGRAM, "restore", made / "backup.tar", "--data", target]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        before = set(left_behind(target))
        while process.poll() is None and not set(left_behind(target)) - before:
            time.sleep(0.000_5)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)


def left_behind(target: Path) -> list[Path]:
    return [entry for entry in target.iterdir() if entry.name.startswith(_LEFT)]


def assert_knows_its_restore(target: Path) -> None:
    database = open_database(target / "ownroot.db")
    try:
        assert len(database.read(lambda uow: uow.restores.list())) == 1
        kinds = [event.kind for event in database.read(lambda uow: uow.audit.list(None))]
        assert kinds.count(EventKind.SERVER_RESTORED) == 1
    finally:
        database.close()


def test_a_killed_restore_leaves_no_database_or_the_whole_one_with_its_window(made: Path, target: Path) -> None:
    chance = random.Random(20261126)
    killed_at_work = 0
    for _ in range(12):
        killed_restore(made, target, after=chance.uniform(0, 0.5))
        assert {entry.name for entry in target.iterdir() if not entry.name.startswith(_LEFT)} <= {"kek", "ownroot.db"}
        if (target / "ownroot.db").exists():
            assert_knows_its_restore(target)
            for entry in target.glob("ownroot.db*"):
                entry.unlink()
        else:
            killed_at_work += 1
        assert len(left_behind(target)) <= 1, "the next restore did not clear away what the one before left"
    assert killed_at_work
    operate(target, "restore", str(made / "backup.tar"))
    assert sorted(entry.name for entry in target.iterdir()) == ["kek", "ownroot.db"]
    assert_knows_its_restore(target)


def refusal(made: Path, target: Path) -> str:
    with pytest.raises(AssertionError) as refused:
        operate(target, "restore", str(made / "backup.tar"))
    return str(refused.value)


def test_what_only_looks_left_behind_is_not_touched(made: Path, target: Path, tmp_path: Path) -> None:
    for make in (
        lambda place: place.mkdir(mode=0o755),
        lambda place: place.write_bytes(b"mine"),
        lambda place: place.symlink_to(tmp_path),
    ):
        place = target / ".restore-mine"
        make(place)
        assert "data-directory-not-empty" in refusal(made, target)
        assert place in left_behind(target)
        place.rmdir() if place.is_dir() and not place.is_symlink() else place.unlink()


def test_two_restores_do_not_work_in_one_directory(made: Path, target: Path) -> None:
    words = [PROGRAM, "restore", made / "backup.tar", "--data", target]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while first.poll() is None and not left_behind(target):
            time.sleep(0.000_5)
        first.send_signal(signal.SIGSTOP)
        try:
            assert left_behind(target)
            assert "data-directory-in-use" in refusal(made, target)
        finally:
            first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 0
    assert_knows_its_restore(target)
