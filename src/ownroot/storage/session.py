"""One transaction's connection: runs statements and remembers what went wrong."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

import sqlalchemy as sa

from ownroot.errors import OwnrootError
from ownroot.storage.faults import Fault, classify
from ownroot.storage.statements import Parameters, Row, Statement, StatementCache

_SAVEPOINT: Final = "SAVEPOINT member"
_RELEASE: Final = "RELEASE SAVEPOINT member"
_UNDO: Final = "ROLLBACK TO SAVEPOINT member"


class Session:
    """Statements of one transaction, on one thread.

    Every error of the driver leaves as one of ours. It is also kept: a work that catches it and goes on must not
    count as a success, since PostgreSQL refuses everything after it until the savepoint is undone.
    """

    def __init__(self, connection: Any, statements: StatementCache, driver: Any) -> None:
        self._cursor = connection.cursor()
        self._statements = statements
        self._driver = driver
        self._fault: Fault | None = None

    @property
    def dialect_name(self) -> str:
        return self._statements.dialect.name

    @property
    def fault(self) -> OwnrootError | None:
        """The first error since the last savepoint began."""
        return self._fault.error if self._fault else None

    @property
    def is_lost(self) -> bool:
        """Must the whole transaction be given up?"""
        return self._fault is not None and self._fault.loses_transaction

    def one(self, statement: Statement, **params: Any) -> Row | None:
        """Return the first row."""
        rows = self.all(statement, **params)
        return rows[0] if rows else None

    def all(self, statement: Statement, **params: Any) -> list[Row]:
        """Return every row."""
        sql, bind = self._statements.get(statement)
        try:
            self._cursor.execute(sql, bind(params))
            rows: list[Row] = self._cursor.fetchall()
        except Exception as exc:  # noqa: BLE001  (sorted by _fail, which raises every one)
            self._fail(exc)
        return rows

    def run(self, statement: Statement, **params: Any) -> int:
        """Return the number of rows changed."""
        sql, bind = self._statements.get(statement)
        return self._execute(sql, bind(params))

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run once per row, in one call of the driver."""
        sql, bind = self._statements.get(statement)
        try:
            self._cursor.executemany(sql, [bind(row) for row in rows])
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)

    def query(self, clause: sa.Select[Any]) -> list[Row]:
        """Run a SELECT composed for this call."""
        sql, bind = self._statements.compile(Statement(clause))
        try:
            self._cursor.execute(sql, bind({}))
            rows: list[Row] = self._cursor.fetchall()
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)
        return rows

    def begin_member(self) -> None:
        """Set the savepoint of the next member."""
        self._fault = None
        self._execute(_SAVEPOINT, ())

    def keep_member(self) -> None:
        self._execute(_RELEASE, ())

    def undo_member(self) -> None:
        """Take back what the member wrote."""
        self._fault = None
        self._execute(_UNDO, ())
        self._execute(_RELEASE, ())

    def _execute(self, sql: str, params: Parameters) -> int:
        try:
            self._cursor.execute(sql, params)
        except Exception as exc:  # noqa: BLE001
            self._fail(exc)
        changed: int = self._cursor.rowcount
        return changed

    def _fail(self, exc: Exception) -> NoReturn:
        if not isinstance(exc, (self._driver.Error, UnicodeError, OverflowError)):
            raise exc
        if self._fault is None:
            self._fault = classify(self._driver, exc)
        raise self._fault.error from exc
