"""SQLite: one file, one writer at a time, durable at every commit.

WAL lets readers go on beside the writer; synchronous=FULL makes a commit wait for the disk. Transactions are begun and
ended by us, not by the driver: a writer takes the lock at once (BEGIN IMMEDIATE), so that it never has to be refused in
its middle because another one was faster.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from ownroot.sqlite_checkpoints import Checkpointer
from ownroot.storage.migrations import migrate
from ownroot.storage.options import StorageOptions
from ownroot.storage.statements import StatementCache
from ownroot.storage.turnstile import Turnstile

_CACHED_STATEMENTS: Final = 256
_CHECKPOINT_PAGES: Final = 4_000  # 16 MiB of log before a commit folds what the checkpointer has left
_LOG_BYTES_KEPT: Final = 64 << 20
_MIGRATION_TIMEOUT_SECONDS: Final = 120


class SqliteBackend:
    """Implements `storage.backend.Backend`.

    Args:
        path: of the database file. It is made with mode 0600 if missing; its directory must be there. SQLite gives
            its companion files the same mode.
    """

    driver: Any = sqlite3

    def __init__(self, path: Path, options: StorageOptions) -> None:
        _make_private_file(path)
        migrate_sqlite(path)
        self._writer = _engine(path, options.busy_timeout_seconds, connections=1)
        self._readers = _engine(path, options.busy_timeout_seconds, connections=options.read_connections)
        sa.event.listen(self._readers, "connect", _forbid_writing)
        self._turnstile = Turnstile(path, timeout_seconds=options.busy_timeout_seconds)
        self.statements = StatementCache(self._writer.dialect)
        self._probe = _Probe(self._readers)
        self._checkpointer = Checkpointer(path)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        with _checked_out(self._readers) as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Any]:
        with self._turnstile.turn(), _checked_out(self._writer) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()  # does nothing where SQLite has ended the transaction by itself
                raise
        self._checkpointer.committed()

    def notify(self, connection: Any) -> None:
        """Do nothing: every commit moves the data version that others poll."""

    def has_foreign_changes(self) -> bool:
        return self._probe.has_moved()

    def close(self) -> None:
        self._checkpointer.close()
        self._probe.close()
        self._readers.dispose()
        self._writer.dispose()
        self._turnstile.close()


def sqlite_file(url_or_path: str | Path) -> Path | None:
    """Return the file of an SQLite database; None for anything else, which may be no address at all."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        return Path(url_or_path)
    try:
        url = sa.make_url(url_or_path)
    except sa.exc.ArgumentError:
        return None
    return Path(url.database) if url.drivername == "sqlite" and url.database else None


def migrate_sqlite(path: Path) -> None:
    """Bring the schema up to date, one process at a time."""
    engine = _engine(path, _MIGRATION_TIMEOUT_SECONDS, connections=1)
    sa.event.listen(engine, "begin", _begin_immediate)
    try:
        migrate(engine)
    finally:
        engine.dispose()


def _make_private_file(path: Path) -> None:
    """Make an empty database for its owner alone, unless there is one.

    One that is there must not even be opened: closing any descriptor of a file drops every lock this process holds on
    it (POSIX), and with them SQLite's knowledge that the database is in use.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


class _Probe:
    """Watches the data version, on a connection that never writes; it moves at the commits of every other one."""

    def __init__(self, engine: sa.Engine) -> None:
        self._pooled = engine.raw_connection()
        self._connection: Any = self._pooled.driver_connection
        self._lock = threading.Lock()
        self._seen: int | None = None

    def has_moved(self) -> bool:
        with self._lock:
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            moved = version != self._seen
            self._seen = version
            return moved

    def close(self) -> None:
        self._pooled.close()


@contextlib.contextmanager
def _checked_out(engine: sa.Engine) -> Iterator[Any]:
    pooled: PoolProxiedConnection = engine.raw_connection()
    try:
        yield pooled.driver_connection
    finally:
        pooled.close()


def _engine(path: Path, busy_timeout_seconds: int, *, connections: int) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={
            "timeout": busy_timeout_seconds,
            "isolation_level": None,
            "check_same_thread": False,  # a connection is used by one thread at a time, not by one for ever
            "cached_statements": _CACHED_STATEMENTS,
        },
        poolclass=sa.pool.QueuePool,
        pool_size=connections,
        max_overflow=1,  # the probe's
    )
    sa.event.listen(engine, "connect", _configure)
    return engine


def _configure(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-65536")  # KiB
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES_KEPT}")


def _forbid_writing(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
