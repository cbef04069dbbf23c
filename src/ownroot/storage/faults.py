"""Errors of the database drivers, told in our own words.

Two kinds matter to a group commit: faults of one member, whose savepoint is undone while the others go on, and faults
of the store, after which nothing of the transaction counts.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, UnavailableError

RETRY_AFTER_SECONDS: Final = 5
_POSTGRES_DISK_FULL: Final = "53100"


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the driver: what the caller hears, and whether the whole transaction is lost."""

    error: OwnrootError
    loses_transaction: bool


def classify(driver: Any, exc: Exception) -> Fault:
    """Judge an error raised by a statement or a commit.

    Args:
        driver: the DBAPI module (`sqlite3` or `psycopg`).
    """
    if isinstance(exc, driver.IntegrityError):
        return Fault(_reference_missing(exc), loses_transaction=False)
    if isinstance(exc, (driver.DataError, UnicodeError, OverflowError)):
        return Fault(_not_storable(exc), loses_transaction=False)
    return Fault(unavailable(exc), loses_transaction=True)


@contextmanager
def translated(driver: Any) -> Iterator[None]:
    """Turn errors of the store, outside of any statement, into ours."""
    try:
        yield
    except (driver.Error, sa.exc.SQLAlchemyError) as exc:
        raise unavailable(exc) from exc


def unavailable(exc: BaseException) -> UnavailableError:
    """Return what to say of a store that cannot serve."""
    if _is_disk_full(exc):
        return UnavailableError(
            "database-full",
            "The disk of the database is full, so nothing can be recorded and nothing was. Free some space; "
            "the server goes on by itself.",
            retry_after=RETRY_AFTER_SECONDS,
            context={"cause": repr(exc)},
        )
    return UnavailableError(
        "database-unavailable",
        "The database cannot serve now. What was asked may work later; the server's log has the cause.",
        retry_after=RETRY_AFTER_SECONDS,
        context={"cause": repr(exc)},
    )


def closed() -> UnavailableError:
    """Return what to say to whoever comes after `close`."""
    return UnavailableError("database-closed", "The server is shutting down.", retry_after=RETRY_AFTER_SECONDS)


def _is_disk_full(exc: BaseException) -> bool:
    if isinstance(exc, sqlite3.Error):
        return getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(exc, "sqlstate", None) == _POSTGRES_DISK_FULL


def _reference_missing(exc: Exception) -> ConflictError:
    return ConflictError(
        "reference-missing",
        "Something this refers to does not exist, or does not exist any more.",
        context={"cause": repr(exc)},
    )


def _not_storable(exc: Exception) -> InvalidInputError:
    return InvalidInputError(
        "value-not-storable",
        "A value holds characters or a number that cannot be stored.",
        context={"cause": repr(exc)},
    )
