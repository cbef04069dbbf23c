"""Which keys on a token this database knows: those in a row of `sealed_keys`, and those that are being made."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError
from ownroot.storage.inserts import insert
from ownroot.storage.schema import sealed_keys, token_key_intents
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param
from ownroot.storage.times import to_seconds

_INTEND: Final = insert(token_key_intents, "key_id", "recorded_at")
_SETTLE: Final = Statement(sa.delete(token_key_intents).where(token_key_intents.c.key_id == param("key")))
_VOID: Final = Statement(sa.delete(token_key_intents).where(token_key_intents.c.recorded_at < param("before_time")))
_VOID_ALL: Final = Statement(sa.delete(token_key_intents))
_NAMED: Final = Statement(
    sa.union_all(
        sa.select(sealed_keys.c.token_key_id).where(sealed_keys.c.token_key_id.is_not(None)),
        sa.select(token_key_intents.c.key_id),
    )
)
_NEWEST_ACTIVE: Final = Statement(
    sa.select(sealed_keys.c.token_key_id)
    .where(sealed_keys.c.token_key_id.is_not(None), sealed_keys.c.pending == sa.false())
    .order_by(sealed_keys.c.id.desc())
    .limit(sa.literal_column("1"))
)


class SqlTokenKeys:
    """Implements `services.repositories.TokenKeyRecords`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def intend(self, key_id: bytes, *, now: datetime) -> None:
        self._session.run(_INTEND, key_id=key_id, recorded_at=to_seconds(now))

    def settle(self, key_id: bytes) -> None:
        """End an intent.

        Raises:
            ConflictError: `token-key-voided`.
        """
        if not self._session.run(_SETTLE, key=key_id):
            raise ConflictError(
                "token-key-voided",
                "The token took so long to make the key that it was given up, and it will be destroyed. Ask again.",
            )

    def void(self, *, before: datetime | None) -> int:
        if before is None:
            return self._session.run(_VOID_ALL)
        return self._session.run(_VOID, before_time=to_seconds(before))

    def named(self) -> frozenset[bytes]:
        return frozenset(bytes(row[0]) for row in self._session.all(_NAMED))

    def newest_active(self) -> bytes | None:
        row = self._session.one(_NEWEST_ACTIVE)
        return None if row is None else bytes(row[0])
