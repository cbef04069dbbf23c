"""What every writing transaction reads once and writes once: the heads of the audit log and of the change feed.

Reading the row for update orders the writers: on PostgreSQL by its lock, on SQLite the database lock was taken already.
So generations and leaf numbers are given in commit order, without holes that could still be filled.

Rows that nothing can refuse (audit events, changes, device counts) wait here and are written in bulk before the commit.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ownroot.audit.merkle import Frontier, leaf_hash, parse_frontier
from ownroot.services.records import ChangeKind
from ownroot.storage.schema import audit_events, changes, device_counts, heads
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param

_COLUMNS: Final = (
    heads.c.audit_size,
    heads.c.audit_frontier,
    heads.c.generation,
    heads.c.trust_generation,
    heads.c.forgotten_generation,
)
_READ: Final = Statement(sa.select(*_COLUMNS).where(heads.c.id == 1))
_READ_AND_LOCK: Final = Statement(sa.select(*_COLUMNS).where(heads.c.id == 1).with_for_update())
_WRITE: Final = Statement(
    sa.update(heads)
    .where(heads.c.id == 1)
    .values(
        audit_size=param("size"),
        audit_frontier=param("frontier"),
        generation=param("newest"),
        trust_generation=param("newest_trust"),
        forgotten_generation=param("forgotten"),
    )
)
_ADD_EVENT: Final = Statement(sa.insert(audit_events), "sequence", "factory_id", "body")
_ADD_CHANGE: Final = Statement(sa.insert(changes), "generation", "kind", "factory_id", "uuid", "announced_at_us")
_FORGET_CHANGES: Final = Statement(sa.delete(changes).where(changes.c.generation <= param("forgotten")))
_COUNT_DEVICES: Final = Statement(
    sa.update(device_counts)
    .where(device_counts.c.factory_id == param("factory"))
    .values(devices=device_counts.c.devices + param("more", sa.BigInteger))
)


@dataclass(frozen=True, slots=True)
class Head:
    """The row as a value."""

    frontier: Frontier
    generation: int
    trust_generation: int
    forgotten_generation: int


class WaitingRows:
    """Rows of this transaction, of which the first `written` are in the table already."""

    __slots__ = ("_statement", "rows", "written")

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self.rows: list[dict[str, Any]] = []
        self.written = 0

    def write(self, session: Session) -> None:
        if self.written < len(self.rows):
            session.run_many(self._statement, self.rows[self.written :])
            self.written = len(self.rows)

    def mark(self) -> tuple[int, int]:
        return len(self.rows), self.written

    def return_to(self, mark: tuple[int, int]) -> None:
        """Drop later rows. What was written since then, of earlier members too, went with the undone savepoint."""
        length, self.written = mark
        del self.rows[length:]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far everything had come, to return to when a member fails."""

    head: Head
    events: tuple[int, int]
    changes: tuple[int, int]
    counts: dict[int, int]


class Heads:
    """The heads as this transaction sees them."""

    def __init__(self, session: Session, *, for_update: bool, changes_kept: int) -> None:
        self._session = session
        self._for_update = for_update
        self._changes_kept = changes_kept
        self._stored: Head | None = None
        self._current: Head | None = None
        self._events = WaitingRows(_ADD_EVENT)
        self._changes = WaitingRows(_ADD_CHANGE)
        self._counts: dict[int, int] = {}

    @property
    def current(self) -> Head:
        if self._current is None:
            self._stored = self._current = self._read()
        return self._current

    def lock(self) -> None:
        """Read the heads before anything else; on PostgreSQL this waits for the other writers."""
        self._stored = self._current = self._read()

    @property
    def has_new_trust(self) -> bool:
        """Has this transaction announced a change of trust?"""
        return self._stored is not None and self.current.trust_generation != self._stored.trust_generation

    def append_event(self, factory_id: int | None, body: bytes) -> None:
        """Chain one audit event."""
        head = self.current
        self._events.rows.append({"sequence": head.frontier.size, "factory_id": factory_id, "body": body})
        self._current = Head(
            head.frontier.append(leaf_hash(body)), head.generation, head.trust_generation, head.forgotten_generation
        )

    def announce(self, kind: ChangeKind, factory_id: int | None, uuid: str | None) -> int:
        """Give the next generation to a change."""
        head = self.current
        generation = head.generation + 1
        self._changes.rows.append(
            {
                "generation": generation,
                "kind": kind.value,
                "factory_id": factory_id,
                "uuid": uuid,
                # For measuring alone, and finer than any `now` we are handed; nothing is decided by it.
                "announced_at_us": time.time_ns() // 1000,
            }
        )
        trust = head.trust_generation if kind is ChangeKind.DEVICE else generation
        self._current = Head(head.frontier, generation, trust, head.forgotten_generation)
        return generation

    def count_device(self, factory_id: int, more: int) -> None:
        """Note that devices came or went."""
        self._counts[factory_id] = self._counts.get(factory_id, 0) + more

    def waiting_devices(self, factory_id: int) -> int:
        """Devices that came or went in this transaction and are not in the stored count yet."""
        return self._counts.get(factory_id, 0)

    def mark(self) -> Mark:
        return Mark(self.current, self._events.mark(), self._changes.mark(), dict(self._counts))

    def return_to(self, mark: Mark) -> None:
        """Forget a member that failed; its savepoint is undone. Generations it was given are not given again."""
        head = mark.head
        self._current = Head(head.frontier, self.current.generation, head.trust_generation, head.forgotten_generation)
        self._events.return_to(mark.events)
        self._changes.return_to(mark.changes)
        self._counts = mark.counts

    def write_waiting(self) -> None:
        """Write the rows that wait, so that a SELECT of this transaction sees them."""
        self._events.write(self._session)
        self._changes.write(self._session)

    def finish(self) -> bool:
        """Write everything that waits and the heads themselves. Returns whether the change feed has moved."""
        self.write_waiting()
        for factory_id, more in self._counts.items():
            self._session.run(_COUNT_DEVICES, factory=factory_id, more=more)
        head, stored = self.current, self._stored
        if head == stored or stored is None:
            return False
        head = self._forget_old_changes(head)
        self._session.run(
            _WRITE,
            size=head.frontier.size,
            frontier=head.frontier.to_bytes(),
            newest=head.generation,
            newest_trust=head.trust_generation,
            forgotten=head.forgotten_generation,
        )
        return head.generation != stored.generation

    def _forget_old_changes(self, head: Head) -> Head:
        # Deleting a tenth at a time keeps the cost of it out of most commits.
        if head.generation - head.forgotten_generation <= self._changes_kept * 11 // 10:
            return head
        forgotten = head.generation - self._changes_kept
        self._session.run(_FORGET_CHANGES, forgotten=forgotten)
        return Head(head.frontier, head.generation, head.trust_generation, forgotten)

    def _read(self) -> Head:
        row = self._session.one(_READ_AND_LOCK if self._for_update else _READ)
        assert row is not None  # noqa: S101  (put there by the first migration)
        size, subtrees, generation, trust_generation, forgotten = row
        return Head(parse_frontier(size, bytes(subtrees)), generation, trust_generation, forgotten)
