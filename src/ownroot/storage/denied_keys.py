"""Keys that live devices have replaced; whoever shows one later holds an old copy of the device."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.pki.names import DeviceUuid
from ownroot.services.records import DeniedKey
from ownroot.storage.inserts import insert_if_absent
from ownroot.storage.schema import denied_keys
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_COLUMNS: Final = (
    denied_keys.c.factory_id,
    denied_keys.c.spki_sha256,
    denied_keys.c.uuid,
    denied_keys.c.denied_at,
    denied_keys.c.shown_at,
)
_ADD: Final = insert_if_absent(denied_keys, *(column.name for column in _COLUMNS))
_IS_KEY: Final = sa.and_(denied_keys.c.factory_id == param("factory"), denied_keys.c.spki_sha256 == param("key"))
_FIND: Final = Statement(sa.select(*_COLUMNS).where(_IS_KEY))
_NOTE_SHOWN: Final = Statement(sa.update(denied_keys).where(_IS_KEY).values(shown_at=param("seen")))


class SqlDeniedKeys:
    """Implements `services.repositories.DeniedKeys`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def deny(self, denied: DeniedKey) -> None:
        self._session.run(
            _ADD,
            factory_id=denied.factory_id,
            spki_sha256=denied.spki_sha256,
            uuid=denied.uuid,
            denied_at=to_seconds(denied.denied_at),
            shown_at=0 if denied.shown_at is None else to_seconds(denied.shown_at),
        )

    def find(self, factory_id: int, spki_sha256: bytes) -> DeniedKey | None:
        row = self._session.one(_FIND, factory=factory_id, key=spki_sha256)
        if row is None:
            return None
        shown_at = from_seconds(row[4]) if row[4] else None
        return DeniedKey(row[0], bytes(row[1]), DeviceUuid(row[2]), from_seconds(row[3]), shown_at)

    def note_shown(self, factory_id: int, spki_sha256: bytes, *, at: datetime) -> None:
        self._session.run(_NOTE_SHOWN, factory=factory_id, key=spki_sha256, seen=to_seconds(at))
