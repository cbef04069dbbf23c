"""The change feed: what other processes must look at again."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from ownroot.pki.names import DeviceUuid
from ownroot.services.records import Change, ChangeKind
from ownroot.storage.heads import Heads
from ownroot.storage.schema import changes
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param

_SINCE: Final = Statement(
    sa.select(changes.c.generation, changes.c.kind, changes.c.factory_id, changes.c.uuid, changes.c.announced_at_us)
    .where(changes.c.generation > param("seen"))
    .order_by(changes.c.generation)
)


class SqlChangeFeed:
    """Implements `services.repositories.ChangeFeed`."""

    def __init__(self, session: Session, heads: Heads) -> None:
        self._session = session
        self._heads = heads

    def announce(self, kind: ChangeKind, factory_id: int | None, uuid: DeviceUuid | None = None) -> int:
        return self._heads.announce(kind, factory_id, uuid)

    def generation(self) -> int:
        return self._heads.current.generation

    def trust_generation(self) -> int:
        return self._heads.current.trust_generation

    def since(self, generation: int) -> Sequence[Change] | None:
        head = self._heads.current
        if generation == head.generation:
            return []
        # A generation from the future was seen before a backup was restored: nothing held in memory can be trusted.
        if generation < head.forgotten_generation or generation > head.generation:
            return None
        self._heads.write_waiting()
        rows = self._session.all(_SINCE, seen=generation)
        return [Change(row[0], ChangeKind(row[1]), row[2], row[3], row[4] / 1e6) for row in rows]
