"""How much a site did today and in all; a day is one of UTC."""

import sqlite3
from datetime import datetime


def issued_counts(connection: sqlite3.Connection, now: datetime) -> tuple[int, int]:
    """Return how many certificates were issued today, and in all."""
    today, total = connection.execute(
        "SELECT iif(day = ?, issued_today, 0), issued FROM counts", (_day(now),)
    ).fetchone()
    return today, total


def count_issued(connection: sqlite3.Connection, now: datetime) -> tuple[int, int]:
    """Count one more certificate; returns how many there are now, today and in all."""
    today, total = connection.execute(
        "UPDATE counts SET issued_today = iif(day = ?1, issued_today, 0) + 1,"
        " noted_today = iif(day = ?1, noted_today, 0), day = ?1, issued = issued + 1 RETURNING issued_today, issued",
        (_day(now),),
    ).fetchone()
    return today, total


def touch_counts(connection: sqlite3.Connection) -> None:
    """Write what is there already: it fails where a registration would, when the disk is full or read-only."""
    connection.execute("UPDATE counts SET issued = issued")


def uncount_issued(connection: sqlite3.Connection, at: datetime) -> None:
    """Take back one that was counted then."""
    connection.execute(
        "UPDATE counts SET issued_today = iif(day = ?, issued_today - 1, issued_today), issued = issued - 1",
        (_day(at),),
    )


def count_noted(connection: sqlite3.Connection, now: datetime) -> int:
    """Count one more entry of the log that cost its sender nothing; returns how many there are today."""
    (noted,) = connection.execute(
        "UPDATE counts SET noted_today = iif(day = ?1, noted_today, 0) + 1,"
        " issued_today = iif(day = ?1, issued_today, 0), day = ?1 RETURNING noted_today",
        (_day(now),),
    ).fetchone()
    return int(noted)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
