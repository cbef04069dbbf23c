"""INSERT statements in the forms both databases share.

A row that breaks a unique constraint is left out instead of raising an error: on PostgreSQL an error would cost the
whole savepoint, and neither driver says reliably which constraint it was. The repository then looks which one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql  # its ON CONFLICT clauses compile for SQLite as well

from ownroot.storage.statements import Statement


def insert(table: sa.Table, *columns: str) -> Statement:
    """Insert a row that nothing can be in the way of."""
    return Statement(sa.insert(table).inline(), *columns)


def insert_if_absent(table: sa.Table, *columns: str) -> Statement:
    """Insert unless a unique constraint is in the way; `Session.run` returns 0 then."""
    return Statement(postgresql.insert(table).inline().on_conflict_do_nothing(), *columns)


def insert_returning_id(table: sa.Table, *columns: str) -> Statement:
    """Insert unless a unique constraint is in the way; `Session.one` returns the id, or None then."""
    return Statement(postgresql.insert(table).on_conflict_do_nothing().returning(table.c.id), *columns)


def upsert(
    table: sa.Table,
    *columns: str,
    conflict: Sequence[str],
    update: Callable[[sa.sql.expression.ColumnCollection[str, Any]], Mapping[str, Any]],
) -> Statement:
    """Insert, or update the row that has the same values in the columns named by `conflict`.

    Args:
        update: from the row that was to be inserted to the values to set.
    """
    inserted = postgresql.insert(table).inline()
    clause = inserted.on_conflict_do_update(index_elements=list(conflict), set_=dict(update(inserted.excluded)))
    return Statement(clause, *columns)
