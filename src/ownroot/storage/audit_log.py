"""The audit log: bodies in order, chained by the heads row."""

from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from ownroot.audit.events import AuditEvent, canonical_bytes, parse_event
from ownroot.audit.merkle import Frontier
from ownroot.storage.heads import Heads
from ownroot.storage.schema import audit_events
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param

_BODIES_PER_READ: Final = 1_000
_NEWEST: Final = Statement(
    sa.select(audit_events.c.body)
    .where(audit_events.c.factory_id == param("factory"))
    .order_by(audit_events.c.sequence.desc())
    .limit(param("most"))
)
_NEWEST_OF_SERVER: Final = Statement(
    sa.select(audit_events.c.body)
    .where(audit_events.c.factory_id.is_(None))
    .order_by(audit_events.c.sequence.desc())
    .limit(param("most"))
)
_BODIES: Final = Statement(
    sa.select(audit_events.c.body)
    .where(audit_events.c.sequence >= param("start"), audit_events.c.sequence < param("stop"))
    .order_by(audit_events.c.sequence)
)


class SqlAuditLog:
    """Implements `services.repositories.AuditLog`."""

    def __init__(self, session: Session, heads: Heads) -> None:
        self._session = session
        self._heads = heads

    def append(self, event: AuditEvent) -> None:
        self._heads.append_event(event.factory_id, canonical_bytes(event))

    def list(self, factory_id: int | None, *, limit: int = 100) -> Sequence[AuditEvent]:
        self._heads.write_waiting()
        if factory_id is None:
            rows = self._session.all(_NEWEST_OF_SERVER, most=limit)
        else:
            rows = self._session.all(_NEWEST, factory=factory_id, most=limit)
        return [parse_event(bytes(body)) for (body,) in rows]

    def bodies(self) -> Iterator[bytes]:
        """Yield every body, oldest first, a bounded number in memory at a time."""
        self._heads.write_waiting()
        for start in range(0, self.head().size, _BODIES_PER_READ):
            for (body,) in self._session.all(_BODIES, start=start, stop=start + _BODIES_PER_READ):
                yield bytes(body)

    def head(self) -> Frontier:
        return self._heads.current.frontier
