"""What a caller hears of an error of a driver, and what is lost with it."""

import sqlite3

import psycopg
import pytest

from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, UnavailableError
from ownroot.storage.faults import classify, unavailable


@pytest.mark.parametrize(
    ("driver", "error", "family", "loses_transaction"),
    [
        (sqlite3, sqlite3.IntegrityError("FOREIGN KEY constraint failed"), ConflictError, False),
        (psycopg, psycopg.errors.ForeignKeyViolation("no such row"), ConflictError, False),
        (psycopg, psycopg.DataError("NUL"), InvalidInputError, False),
        (sqlite3, UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), InvalidInputError, False),
        (sqlite3, OverflowError("too large"), InvalidInputError, False),
        (sqlite3, sqlite3.OperationalError("disk I/O error"), UnavailableError, True),
        (sqlite3, sqlite3.DatabaseError("malformed"), UnavailableError, True),
        (psycopg, psycopg.OperationalError("connection lost"), UnavailableError, True),
        (psycopg, psycopg.errors.LockNotAvailable("lock timeout"), UnavailableError, True),
    ],
)
def test_each_error_has_its_family(
    driver: object, error: Exception, family: type[OwnrootError], loses_transaction: bool
) -> None:
    fault = classify(driver, error)
    assert type(fault.error) is family
    assert fault.loses_transaction is loses_transaction


def test_full_disk_of_postgres_is_told_apart() -> None:
    assert unavailable(psycopg.errors.DiskFull("no space left on device")).code == "database-full"


def test_cause_is_for_the_log_alone() -> None:
    error = unavailable(sqlite3.OperationalError("cannot open /srv/secret/path"))
    assert "secret" not in error.detail
    assert "secret" in str(error.context["cause"])
