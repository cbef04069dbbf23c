"""PostgreSQL 15 or later, through psycopg 3.

Writers of all processes follow one another on the lock of the heads row (`heads`), as they do on SQLite's file lock;
readers see one moment each. Other processes are woken by NOTIFY; since a notification can be lost with its connection,
the change feed's row is read now and then as well.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from ownroot.errors import InvalidInputError
from ownroot.storage.migrations import migrate
from ownroot.storage.options import StorageOptions
from ownroot.storage.schema import heads
from ownroot.storage.statements import StatementCache

_CHANNEL: Final = "ownroot_changes"
_POLL_SECONDS: Final = 1.0
_CONNECT_TIMEOUT_SECONDS: Final = 5
_CONNECTING: Final[dict[str, Any]] = {"connect_timeout": _CONNECT_TIMEOUT_SECONDS, "application_name": "ownroot"}
_MINIMUM_VERSION: Final = 150_000
_MIGRATION_LOCK: Final = 0x6F776E726F6F74  # "ownroot": any number nobody else locks


class PostgresBackend:
    """Implements `storage.backend.Backend`."""

    driver: Any = psycopg

    def __init__(self, url: sa.URL, options: StorageOptions) -> None:
        migrate_postgres(url)
        self._writer = _engine(url, connections=1)
        self._readers = _engine(url, connections=options.read_connections)
        lock_timeout_ms = options.busy_timeout_seconds * 1000
        sa.event.listen(self._writer, "connect", lambda connection, _: _prepare_writer(connection, lock_timeout_ms))
        sa.event.listen(self._readers, "connect", _prepare_reader)
        self.statements = StatementCache(self._writer.dialect)
        self._probe = _Probe(url)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        with _checked_out(self._readers) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Any]:
        with _checked_out(self._writer) as connection:
            yield connection
            connection.commit()

    def notify(self, connection: Any) -> None:
        connection.execute("SELECT pg_notify(%s, '')", (_CHANNEL,))

    def has_foreign_changes(self) -> bool:
        return self._probe.has_moved()

    def close(self) -> None:
        self._probe.close()
        self._readers.dispose()
        self._writer.dispose()


def migrate_postgres(url: sa.URL) -> None:
    """Bring the schema up to date, one process at a time."""
    engine = _engine(url, connections=1)
    sa.event.listen(engine, "begin", _lock_migrations)
    try:
        migrate(engine)
    finally:
        engine.dispose()


class _Probe:
    """Listens for notifications; a lost connection counts as a change until there is a new one."""

    def __init__(self, url: sa.URL, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._seen = -1
        self._next_poll = 0.0

    def has_moved(self) -> bool:
        with self._lock:
            try:
                return self._ask()
            except psycopg.Error:
                self._forget_connection()
                raise

    def close(self) -> None:
        with self._lock:
            self._forget_connection()

    def _ask(self) -> bool:
        connection = self._connection or self._connect()
        notified = any(True for _ in connection.notifies(timeout=0))
        if not notified and self._clock() < self._next_poll:
            return False
        self._next_poll = self._clock() + _POLL_SECONDS
        row = connection.execute(_GENERATION).fetchone()
        generation = row[0] if row else 0
        moved, self._seen = generation != self._seen, generation
        return moved

    def _connect(self) -> psycopg.Connection[Any]:
        self._seen, self._next_poll = -1, 0.0
        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(url, autocommit=True, **_CONNECTING)
        self._connection.execute(f"LISTEN {_CHANNEL}")
        return self._connection

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_GENERATION: Final = f"SELECT generation FROM {heads.name} WHERE id = 1"  # noqa: S608  (a table's own name)


@contextmanager
def _checked_out(engine: sa.Engine) -> Iterator[Any]:
    pooled: PoolProxiedConnection = engine.raw_connection()
    try:
        yield pooled.driver_connection
    finally:
        pooled.close()  # undoes what was not committed


def _engine(url: sa.URL, *, connections: int) -> sa.Engine:
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args=_CONNECTING,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=_CONNECT_TIMEOUT_SECONDS,
    )
    sa.event.listen(engine, "connect", _require_supported)
    return engine


def _require_supported(connection: Any, _record: object) -> None:
    if connection.info.server_version < _MINIMUM_VERSION:
        raise InvalidInputError(
            "database-too-old",
            f"PostgreSQL 15 or later is needed; this one says {connection.info.parameter_status('server_version')}.",
        )


def _prepare_writer(connection: Any, lock_timeout_ms: int) -> None:
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{lock_timeout_ms}ms",))
    # Nothing may be answered that a power cut can take back, whatever the server's own setting is.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()


def _prepare_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def _lock_migrations(connection: sa.Connection) -> None:
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
