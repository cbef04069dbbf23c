"""How much a site did today and in all; a day is one of UTC.

Of one day the counts are kept, since counting costs more with every device. When another day begins it is counted once
from what is stored: a clock that is set forward and back must not make a used-up day a fresh one.
"""

import sqlite3
from datetime import datetime
from typing import Final

# `?1` is the day; text of a moment in it lies between the day and the day followed by "Z".
_ISSUED_TODAY: Final = (
    "iif(day = ?1, issued_today, (SELECT count(*) FROM certificates"
    " WHERE voided_at IS NULL AND intended_at >= ?1 AND intended_at < ?1 || 'Z'))"
)
_NOTED_TODAY: Final = (
    "iif(day = ?1, noted_today, (SELECT count(*) FROM log"
    " WHERE decision IN ('repeated', 'refused') AND at >= ?1 AND at < ?1 || 'Z'))"
)


def issued_counts(connection: sqlite3.Connection, now: datetime) -> tuple[int, int]:
    """Return how many certificates were issued today, and in all."""
    today, total = connection.execute(
        f"SELECT {_ISSUED_TODAY}, issued FROM counts",  # noqa: S608 - our own text
        (_day(now),),
    ).fetchone()
    return today, total


def count_issued(connection: sqlite3.Connection, now: datetime) -> tuple[int, int]:
    """Count one more certificate; returns how many there are now, today and in all."""
    today, total = connection.execute(
        f"UPDATE counts SET issued_today = {_ISSUED_TODAY} + 1, noted_today = {_NOTED_TODAY},"  # noqa: S608 - our own text
        " day = ?1, issued = issued + 1 RETURNING issued_today, issued",
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
        f"UPDATE counts SET noted_today = {_NOTED_TODAY} + 1, issued_today = {_ISSUED_TODAY},"  # noqa: S608 - our own text
        " day = ?1 RETURNING noted_today",
        (_day(now),),
    ).fetchone()
    return int(noted)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
