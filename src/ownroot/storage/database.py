"""A database opened by one process: reads on the caller's thread, writes by group commit."""

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from ownroot.errors import InvalidInputError
from ownroot.services.ports import Inbox, Outcome, UnitOfWork
from ownroot.storage.backend import Backend
from ownroot.storage.faults import closed, translated, unavailable
from ownroot.storage.group_commit import GroupCommit, Member
from ownroot.storage.options import StorageOptions
from ownroot.storage.session import Session
from ownroot.storage.sqlite import SqliteBackend, sqlite_file
from ownroot.storage.unit_of_work import SqlUnitOfWork

T = TypeVar("T")

_DEFAULTS: Final = StorageOptions()


def open_database(url_or_path: str | Path, *, options: StorageOptions = _DEFAULTS) -> "SqlDatabase":
    """Open a database, make it if it is not there, and bring its schema up to date.

    Any number of processes may do so at once. Open after forking, never before: neither SQLite nor a connection to
    PostgreSQL survives a fork.

    Args:
        url_or_path: a file of SQLite, or `sqlite:///relative`, `sqlite:////absolute`, `postgresql://...`.
    Raises:
        InvalidInputError: `database-url`, `database-driver-missing`, `database-too-old`.
        ConflictError: `schema-unknown`.
        UnavailableError: `database-unavailable`, `database-migration-failed`.
    """
    return SqlDatabase(_backend(url_or_path, options), options)


def migrate_database(url_or_path: str | Path) -> None:
    """Only bring the schema up to date; raises as `open_database` does."""
    open_database(url_or_path).close()


class SqlDatabase:
    """Implements `services.ports.Database`."""

    def __init__(self, backend: Backend, options: StorageOptions) -> None:
        self._backend = backend
        self._options = options
        self._writer = GroupCommit(backend, options)
        self._is_closed = False

    def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run in one read transaction on the calling thread.

        Raises:
            UnavailableError: `database-unavailable`, `database-closed`.
        """
        if self._is_closed:
            raise closed()
        with translated(self._backend.driver), self._backend.reading() as connection:
            session = Session(connection, self._backend.statements, self._backend.driver)
            return work(SqlUnitOfWork(session, self._options, for_update=False))

    def write(self, work: Callable[[UnitOfWork], T]) -> "Future[T]":
        """Queue for the next group commit."""
        future: Future[T] = Future()
        self._writer.submit(Member(work, _FUTURES, future))
        return future

    def submit(self, work: Callable[[UnitOfWork], Any], inbox: Inbox, ticket: object) -> None:
        """Queue as `write` does; the outcome goes to the inbox with the ticket."""
        self._writer.submit(Member(work, inbox, ticket))

    def has_foreign_changes(self) -> bool:
        """May another process have committed since the last call?

        Raises:
            UnavailableError: `database-unavailable`, `database-closed`.
        """
        if self._is_closed:
            raise closed()
        with translated(self._backend.driver):
            return self._backend.has_foreign_changes()

    def close(self) -> None:
        """Finish what is queued, then let go of every connection; nothing more happens the second time."""
        self._writer.close()
        if not self._is_closed:
            self._is_closed = True
            self._backend.close()


class _FutureInbox:
    """Settles futures; the ticket is the future."""

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        for future, result, error in outcomes:
            if not future.set_running_or_notify_cancel():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


_FUTURES: Final = _FutureInbox()


def _backend(url_or_path: str | Path, options: StorageOptions) -> Backend:
    file = sqlite_file(url_or_path)
    if file is not None:
        return _sqlite(file, options)
    try:
        url = sa.make_url(str(url_or_path))
    except sa.exc.ArgumentError as exc:
        raise _bad_url() from exc
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgres(url, options)
    raise _bad_url()


def _sqlite(path: Path, options: StorageOptions) -> Backend:
    try:
        with translated(sqlite3):
            return SqliteBackend(path, options)
    except OSError as exc:
        raise unavailable(exc) from exc


def _postgres(url: sa.URL, options: StorageOptions) -> Backend:
    # Loaded here: an installation with SQLite has no driver for it.
    try:
        import psycopg  # noqa: PLC0415

        from ownroot.storage.postgres import PostgresBackend  # noqa: PLC0415
    except ImportError as exc:
        raise InvalidInputError(
            "database-driver-missing",
            "PostgreSQL needs a driver that is not installed: install Ownroot with its extra, `ownroot[postgres]`.",
        ) from exc
    with translated(psycopg):
        return PostgresBackend(url, options)


def _bad_url() -> InvalidInputError:
    return InvalidInputError(
        "database-url", "A database is the path of a file, or an address like postgresql://user@host/name."
    )
