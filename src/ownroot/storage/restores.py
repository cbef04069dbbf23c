"""Restores on record: from when to when this database had lost its memory."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from ownroot.storage.inserts import insert
from ownroot.storage.schema import restores
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement
from ownroot.storage.times import from_seconds, to_seconds
from ownroot.trust.restores import RestoreWindow

_ADD: Final = insert(restores, "backup_made_at", "restored_at")
_LIST: Final = Statement(sa.select(restores.c.backup_made_at, restores.c.restored_at).order_by(restores.c.id))


class SqlRestores:
    """Implements `services.repositories.Restores`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, window: RestoreWindow) -> None:
        made_at, restored_at = to_seconds(window.backup_made_at), to_seconds(window.restored_at)
        self._session.run(_ADD, backup_made_at=made_at, restored_at=restored_at)

    def list(self) -> Sequence[RestoreWindow]:
        rows = self._session.all(_LIST)
        return [RestoreWindow(from_seconds(made_at), from_seconds(restored_at)) for made_at, restored_at in rows]
