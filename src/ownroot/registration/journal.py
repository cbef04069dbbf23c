"""The journal of a site: one SQLite file that knows every certificate, every decision and every announcement still due.

It is the floor's own small store, made for one server process and the operator's commands beside it: no network
database, no migrations of somebody else's schema, nothing to administer. WAL with synchronous=FULL: what a commit
returned from survives a power cut. The file is the owner's alone (0600): it tells which boards exist.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError, UnavailableError
from ownroot.registration.journal_file import JournalFile
from ownroot.registration.journal_schema import SCHEMA, VERSION
from ownroot.registration.journal_writer import JournalWriter, unavailable, unavailable_because, write_now
from ownroot.sqlite_checkpoints import Checkpointer

T = TypeVar("T")

JOURNAL_FILE: Final = "journal.db"
_LOCK_FILE: Final = "journal.lock"
_BUSY_SECONDS: Final = 15.0
_PATIENCE_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 5
_DIRECTORY_MODE: Final = 0o700


class Journal:
    """An open journal. Owns its connections; close it.

    Every work gets a connection that is inside a transaction; what it raises undoes that work alone. Works are short:
    while one runs nobody else writes.
    """

    def __init__(self, directory: Path) -> None:
        """Open the journal of a data directory; both are made if missing.

        Raises:
            InvalidInputError: `data-unusable`, `journal-too-new`.
            KeyStoreError: `data-directory-mode`.
            UnavailableError: `journal-unavailable`.
        """
        path = _prepare(directory)
        self._file = JournalFile(path, time.monotonic)
        with unavailable():
            writing = _connect(path)
            _bring_up(writing, path)
            self._reading = _connect(path)
            self._reading.execute("PRAGMA query_only=ON")
        self._lock = threading.Lock()
        self._writing = writing
        self._path = path
        self._writer: JournalWriter | None = None
        self._checkpointer: Checkpointer | None = None

    @property
    def commits(self) -> int:
        """How many transactions the server wrote; each waited for the disk once."""
        return 0 if self._writer is None else self._writer.commits

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write on this event loop from now on, many works in one commit."""
        self._checkpointer = Checkpointer(self._path)
        self._writer = JournalWriter(self._writing, loop, committed=self._checkpointer.committed)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Look something up, on any thread. Raises UnavailableError `journal-unavailable`, `journal-replaced`."""
        self._file.demand_same()
        with self._lock:
            try:
                return work(self._reading)
            except sqlite3.Error as exc:
                raise unavailable_because(exc) from exc

    async def commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one work on the serving loop and wait for its commit, which it shares with whatever else is under way.

        Raises:
            OwnrootError: what the work raises; UnavailableError `journal-unavailable`, `journal-replaced`.
        """
        self._file.demand_same()
        if self._writer is None:
            raise RuntimeError("the journal does not serve a loop yet")
        return await self._writer.commit(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one work from a thread that is not the loop's, and wait for its commit. Raises as `commit`."""
        self._file.demand_same()
        if self._writer is None:
            return write_now(self._writing, work)
        try:
            return self._writer.commit_from_thread(work, seconds=_PATIENCE_SECONDS)
        except TimeoutError as exc:
            raise UnavailableError(
                "journal-busy", "The journal is not written at the moment.", retry_after=_RETRY_SECONDS
            ) from exc

    def close(self) -> None:
        """Finish what is on its way to the disk and let go of the file."""
        if self._writer is not None:
            self._writer.close()
        if self._checkpointer is not None:
            self._checkpointer.close()
        with self._lock:
            self._reading.close()
            self._writing.close()


@contextlib.contextmanager
def opened_journal(directory: Path) -> Iterator[Journal]:
    """Open a journal for the length of a block. Raises as `Journal`.

    Whoever opens it is its operator: what cannot be done with it is told with its path and SQLite's own words, which
    strangers who ask the server do not see.
    """
    try:
        with contextlib.closing(Journal(directory)) as journal:
            yield journal
    except UnavailableError as error:
        if (cause := error.context.get("cause")) is None:
            raise
        detail = f"The journal {directory / JOURNAL_FILE} cannot be used: {cause}."
        raise UnavailableError(error.code, detail, retry_after=error.retry_after, context=error.context) from error


@contextlib.contextmanager
def only_server(directory: Path) -> Iterator[None]:
    """Hold a data directory for one server: two would not see each other's devices under way.

    Raises:
        ConflictError: `already-serving`.
        InvalidInputError: `data-unusable`.
        KeyStoreError: `data-directory-mode`.
    """
    _make_directory(directory)
    descriptor = os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise ConflictError("already-serving", f"A registration server already works on {directory}.") from exc
    try:
        yield
    finally:
        os.close(descriptor)


def _prepare(directory: Path) -> Path:
    _make_directory(directory)
    path = directory / JOURNAL_FILE
    # Never opened when it is there: closing a descriptor would drop SQLite's locks on it (POSIX).
    with contextlib.suppress(FileExistsError), _usable(directory):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return path


def _make_directory(directory: Path) -> None:
    with _usable(directory):
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyStoreError(
            "data-directory-mode",
            f"Others on this machine may write to {directory} (mode {mode:04o}), and so replace the journal and the "
            f"tokens in it. If none of them has, run: chmod go-w {directory}",
        )


@contextlib.contextmanager
def _usable(directory: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as exc:
        raise InvalidInputError(
            "data-unusable", f"The data directory {directory} cannot be used: {exc.strerror}."
        ) from exc


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-32768")  # KiB
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    return connection


def _bring_up(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        connection.execute("ROLLBACK")
        raise InvalidInputError(
            "journal-too-new", f"{path} was written by a newer Ownroot (format {found}, this one knows {VERSION})."
        )
    if found == 0:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")
