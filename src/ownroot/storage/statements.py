"""Statements written in SQLAlchemy Core, compiled once and run on the driver's own cursor.

A registration runs about ten statements; going through an engine's execution machinery costs some 40 µs for each, a
driver's cursor 2 to 5. So Core writes the SQL for both databases, and the driver runs it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

Row: TypeAlias = tuple[Any, ...]
Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
Bind: TypeAlias = Callable[[Mapping[str, Any]], Parameters]


class Statement:
    """A statement with named parameters.

    Args:
        clause: parameters are `sa.bindparam(name)`; values written into it are kept.
        columns: of an INSERT, the columns that get a value; they are parameters of the same names.
    """

    __slots__ = ("clause", "columns")

    def __init__(self, clause: sa.sql.expression.ClauseElement, *columns: str) -> None:
        self.clause = clause
        self.columns = columns


class StatementCache:
    """Compiles each statement once for one database."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._compiled: dict[Statement, tuple[str, Bind]] = {}

    def get(self, statement: Statement) -> tuple[str, Bind]:
        """Return the SQL and the function that puts parameters in the driver's order."""
        found = self._compiled.get(statement)
        if found is None:
            found = self._compiled[statement] = self.compile(statement)
        return found

    def compile(self, statement: Statement) -> tuple[str, Bind]:
        """Do the same without keeping it: for statements composed per call."""
        compiled = statement.clause.compile(dialect=self.dialect, column_keys=list(statement.columns) or None)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101  (a statement, not a column or a table)
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        return compiled.string, _bind(compiled.positiontup, fixed)


def _bind(order: Sequence[str] | None, fixed: Mapping[str, Any]) -> Bind:
    if order is None:  # psycopg takes parameters by name
        return lambda given: {**fixed, **given}
    if fixed:
        return lambda given: [given[name] if name in given else fixed[name] for name in order]
    names = tuple(order)
    return lambda given: [given[name] for name in names]


def param(name: str, type_: Any = None) -> sa.BindParameter[Any]:
    """Name a parameter."""
    return sa.bindparam(name, type_=type_)
