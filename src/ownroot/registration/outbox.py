"""Announcements that are still due, one row for each certificate and target, written in the certificate's transaction.

A row is waiting until its target took it (done), until it will never take it (dead, kept for a person), or until an
operator gave it up (dropped). While a target is not reachable, or does not accept our token, all of its rows wait
behind the first one, in order; a row that the target alone does not like steps aside.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ownroot.errors import NotFoundError
from ownroot.registration.decisions import Decision, LogEntry, append

BACKEND: Final = "backend"
WEBHOOK: Final = "webhook"
HOOK_PREFIX: Final = "hook "
"""Names of targets; a hook's own name follows the prefix."""


class State(StrEnum):
    """Where an announcement stands."""

    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Due:
    """One announcement, with all that a target needs to know of it. Times are seconds since 1970."""

    id: int
    target: str
    serial: str
    attempts: int
    made_at: int
    uuid: str
    name: str
    group: str | None
    hardware_id: str
    operator: str
    registered_at: str
    certificate_der: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One announcement as an operator sees it."""

    id: int
    target: str
    uuid: str
    serial: str
    state: str
    attempts: int
    due_at: int
    made_at: int
    fault: str


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target as an operator sees it: how much waits, how much is dead, and what it said last if it is down.

    `is_alarm` is 1 when a person has to act.
    """

    name: str
    waiting: int
    dead: int
    done: int
    resumes_at: int
    attempts: int
    fault: str
    is_alarm: int


def enqueue(connection: sqlite3.Connection, serial: str, targets: Iterable[str], *, at: datetime) -> None:
    """Queue the announcements of a certificate."""
    for target in targets:
        connection.execute(
            "INSERT INTO outbox (target, serial, state, made_at) VALUES (?, ?, 'waiting', ?)"
            " ON CONFLICT (target, serial) DO NOTHING",
            (target, serial, int(at.timestamp())),
        )


def next_due(connection: sqlite3.Connection, target: str, now: int) -> Due | None:
    """Return the announcement to send now, or None: nothing waits, or nothing is due yet."""
    paused = connection.execute("SELECT resumes_at FROM targets WHERE name = ?", (target,)).fetchone()
    if paused is not None and paused[0] > now:
        return None
    row = connection.execute(
        "SELECT o.id, o.target, o.serial, o.attempts, o.made_at, c.uuid, coalesce(d.name, c.uuid), d.device_group,"
        " coalesce(d.hardware_id, ''), c.operator, c.intended_at, c.der FROM outbox o"
        " JOIN certificates c ON c.serial = o.serial LEFT JOIN devices d ON d.uuid = c.uuid"
        " WHERE o.target = ? AND o.state = 'waiting' AND o.due_at <= ? ORDER BY o.id LIMIT 1",
        (target, now),
    ).fetchone()
    return None if row is None else Due(*row)


def settle(connection: sqlite3.Connection, due: Due, state: State, *, now: int, fault: str = "") -> None:
    """Close an announcement: the target took it, or never will."""
    connection.execute(
        "UPDATE outbox SET state = ?, attempts = attempts + 1, settled_at = ?, fault = ? WHERE id = ?",
        (state.value, now, fault, due.id),
    )


def postpone(connection: sqlite3.Connection, due: Due, *, until: int, fault: str) -> None:
    """Let one announcement wait; those behind it go on."""
    connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, due_at = ?, fault = ? WHERE id = ?", (until, fault, due.id)
    )


def pause(connection: sqlite3.Connection, due: Due, *, until: int, fault: str, is_alarm: bool) -> None:
    """Let a whole target wait, this announcement first in line."""
    connection.execute("UPDATE outbox SET attempts = attempts + 1, fault = ? WHERE id = ?", (fault, due.id))
    connection.execute(
        "INSERT INTO targets (name, resumes_at, attempts, fault, is_alarm) VALUES (?1, ?2, 1, ?3, ?4)"
        " ON CONFLICT (name) DO UPDATE SET resumes_at = ?2, attempts = attempts + 1, fault = ?3, is_alarm = ?4",
        (due.target, until, fault, is_alarm),
    )


def target_attempts(connection: sqlite3.Connection, target: str) -> int:
    """Return how often in a row the target could not be used."""
    row = connection.execute("SELECT attempts FROM targets WHERE name = ?", (target,)).fetchone()
    return 0 if row is None else int(row[0])


def resume(connection: sqlite3.Connection, target: str) -> None:
    """Forget a target's pause: it answered, or a person says try now."""
    connection.execute("DELETE FROM targets WHERE name = ?", (target,))


def targets(connection: sqlite3.Connection) -> list[TargetView]:
    """Return every target that has or had announcements."""
    rows = connection.execute(
        "SELECT o.target, sum(o.state = 'waiting'), sum(o.state = 'dead'), sum(o.state = 'done'),"
        " coalesce(t.resumes_at, 0), coalesce(t.attempts, 0), coalesce(t.fault, ''), coalesce(t.is_alarm, 0)"
        " FROM outbox o LEFT JOIN targets t ON t.name = o.target GROUP BY o.target ORDER BY o.target"
    )
    return [TargetView(*row) for row in rows]


def backlog(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Return waiting and dead announcements by target; cheap, whatever was announced before."""
    counts: dict[str, tuple[int, int]] = {}
    for state, place in ((State.WAITING, 0), (State.DEAD, 1)):
        for target, number in connection.execute(
            # The state stands in the text, so that the small index of just these rows is used.
            f"SELECT target, count(*) FROM outbox WHERE state = '{state.value}' GROUP BY target"  # noqa: S608
        ):
            waiting, dead = counts.get(target, (0, 0))
            counts[target] = (number, dead) if place == 0 else (waiting, number)
    return counts


def alarms(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the targets that wait for a person: a token, an address or a certificate is wrong."""
    return frozenset(name for (name,) in connection.execute("SELECT name FROM targets WHERE is_alarm"))


def entries(connection: sqlite3.Connection, states: Iterable[State], *, limit: int) -> list[Entry]:
    """List announcements, oldest first."""
    wanted = json.dumps([state.value for state in states])
    rows = connection.execute(
        "SELECT o.id, o.target, c.uuid, o.serial, o.state, o.attempts, o.due_at, o.made_at, o.fault FROM outbox o"
        " JOIN certificates c ON c.serial = o.serial WHERE o.state IN (SELECT value FROM json_each(?))"
        " ORDER BY o.id LIMIT ?",
        (wanted, limit),
    )
    return [Entry(*row) for row in rows]


def retry(connection: sqlite3.Connection, *, ids: Iterable[int] = (), now: int) -> int:
    """Send announcements again now: dead and waiting ones by id, or everything that is not done. Returns how many.

    Raises:
        NotFoundError: `no-such-announcement`.
    """
    connection.execute("DELETE FROM targets")
    change = "UPDATE outbox SET state = 'waiting', due_at = 0, settled_at = NULL, made_at = ?"
    numbers = tuple(ids)
    if not numbers:
        return connection.execute(f"{change} WHERE state IN ('waiting', 'dead')", (now,)).rowcount
    for number in numbers:
        if connection.execute(f"{change} WHERE id = ? AND state != 'done'", (now, number)).rowcount == 0:
            raise _unknown(number)
    return len(numbers)


def drop(connection: sqlite3.Connection, ids: Iterable[int], *, at: datetime) -> int:
    """Give announcements up; the log says so. Returns how many.

    Raises:
        NotFoundError: `no-such-announcement`.
    """
    count = 0
    for number in ids:
        row = connection.execute(
            "UPDATE outbox SET state = 'dropped', settled_at = ? WHERE id = ? AND state IN ('waiting', 'dead')"
            " RETURNING target, serial",
            (int(at.timestamp()), number),
        ).fetchone()
        if row is None:
            raise _unknown(number)
        target, serial = row
        (uuid,) = connection.execute("SELECT uuid FROM certificates WHERE serial = ?", (serial,)).fetchone()
        append(connection, LogEntry(at=at, decision=Decision.DROPPED, uuid=uuid, code=target, serial=serial))
        count += 1
    return count


def replay(connection: sqlite3.Connection, target: str, *, now: int) -> int:
    """Announce every device anew to one target, in the order of their certificates. Returns how many there are.

    Raises:
        NotFoundError: `no-such-target`: no server of this site could ever send to that name.
    """
    _demand_target(connection, target)
    connection.execute("DELETE FROM outbox WHERE target = ?", (target,))
    return connection.execute(
        "INSERT INTO outbox (target, serial, state, made_at) SELECT ?, d.serial, 'waiting', ? FROM devices d"
        " JOIN certificates c ON c.serial = d.serial ORDER BY c.rowid",
        (target, now),
    ).rowcount


def _demand_target(connection: sqlite3.Connection, target: str) -> None:
    """A target that was never told of a device may just have been set up; a misspelt one would wait for ever."""
    told = {name for (name,) in connection.execute("SELECT DISTINCT target FROM outbox")}
    known = told.union((BACKEND, WEBHOOK))
    if target not in known and not target.startswith(HOOK_PREFIX):
        raise NotFoundError(
            "no-such-target",
            f"There is no target {target[:80]!r}. Targets are {', '.join(sorted(known))}, and hooks as "
            f"'{HOOK_PREFIX}NAME'.",
        )


def _unknown(number: int) -> NotFoundError:
    return NotFoundError("no-such-announcement", f"There is no announcement {number} that is still due or dead.")
