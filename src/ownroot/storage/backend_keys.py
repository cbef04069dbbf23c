"""Private keys of the backend, sealed; what is stored here opens nothing without the key-encryption key."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from ownroot.errors import NotFoundError
from ownroot.services.records import SealedKey, SealedKeyPurpose
from ownroot.storage.inserts import insert
from ownroot.storage.schema import SHARED_SCOPE, sealed_keys
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds
from ownroot.trust.possession import KeyKind, PendingKey

# So that an owner who comes late hears that, and not that the key was never known.
_EXPIRED_KEPT: Final = timedelta(days=1)

_IS_PENDING: Final = sealed_keys.c.pending == sa.true()
_ADD: Final = insert(
    sealed_keys,
    "scope",
    "spki_sha256",
    "purpose",
    "sealed",
    "pending",
    "kind",
    "dns_names",
    "created_at",
    "expires_at",
    "token_key_id",
)
_DROP_EXPIRED: Final = Statement(
    sa.delete(sealed_keys).where(
        sealed_keys.c.scope == param("of"), _IS_PENDING, sealed_keys.c.expires_at <= param("at")
    )
)
_DROP_ALL_EXPIRED: Final = Statement(sa.delete(sealed_keys).where(_IS_PENDING, sealed_keys.c.expires_at <= param("at")))
_OF_KIND: Final = Statement(
    sa.select(sealed_keys.c.id)
    .where(sealed_keys.c.scope == param("of"), _IS_PENDING, sealed_keys.c.kind == param("of_kind"))
    .order_by(sealed_keys.c.id.desc())
)
_DROP: Final = Statement(sa.delete(sealed_keys).where(sealed_keys.c.id == param("row")))
_PENDING: Final = Statement(
    sa.select(
        sealed_keys.c.kind,
        sealed_keys.c.spki_sha256,
        sealed_keys.c.dns_names,
        sealed_keys.c.created_at,
        sealed_keys.c.expires_at,
    )
    .where(sealed_keys.c.scope == param("of"), _IS_PENDING, sealed_keys.c.expires_at > param("at"))
    .order_by(sealed_keys.c.id)
)
_ACTIVATE: Final = Statement(
    sa.update(sealed_keys)
    .where(sealed_keys.c.scope == param("of"), sealed_keys.c.spki_sha256 == param("key"))
    .values(pending=sa.false())
)
_FIND: Final = Statement(
    sa.select(sealed_keys.c.spki_sha256, sealed_keys.c.purpose, sealed_keys.c.sealed, sealed_keys.c.token_key_id).where(
        sealed_keys.c.spki_sha256 == param("key")
    )
)
_DESTROY: Final = Statement(sa.delete(sealed_keys).where(sealed_keys.c.spki_sha256 == param("key")))


class SqlBackendKeys:
    """Implements `services.repositories.BackendKeys`."""

    def __init__(self, session: Session, *, kept_per_kind: int) -> None:
        self._session = session
        self._kept_per_kind = kept_per_kind

    def add_pending(self, factory_id: int, pending: PendingKey, key: SealedKey) -> None:
        """Keep a new pending key, the newest few of its kind, and none that expired a day ago."""
        created_at = to_seconds(pending.created_at)
        self._session.run(_DROP_EXPIRED, of=factory_id, at=to_seconds(pending.created_at - _EXPIRED_KEPT))
        self._session.run(
            _ADD,
            scope=factory_id,
            spki_sha256=key.spki_sha256,
            purpose=key.purpose.value,
            sealed=key.sealed,
            pending=True,
            kind=pending.kind.value,
            dns_names=" ".join(pending.dns_names),
            created_at=created_at,
            expires_at=to_seconds(pending.expires_at),
            token_key_id=key.token_key_id,
        )
        of_kind = self._session.all(_OF_KIND, of=factory_id, of_kind=pending.kind.value)
        for (row,) in of_kind[self._kept_per_kind :]:
            self._session.run(_DROP, row=row)

    def pending(self, factory_id: int, *, now: datetime) -> Sequence[PendingKey]:
        """Return the pending keys, and those that expired less than a day ago: the caller tells them apart."""
        rows = self._session.all(_PENDING, of=factory_id, at=to_seconds(now - _EXPIRED_KEPT))
        return [_read_pending(row) for row in rows]

    def drop_expired(self, *, now: datetime) -> int:
        """Forget the pending keys of every factory that expired a day ago; returns how many there were."""
        return self._session.run(_DROP_ALL_EXPIRED, at=to_seconds(now - _EXPIRED_KEPT))

    def activate(self, factory_id: int, spki_sha256: bytes) -> None:
        """Turn a pending key into an active one.

        Raises:
            NotFoundError: `key-unknown`.
        """
        if not self._session.run(_ACTIVATE, of=factory_id, key=spki_sha256):
            raise NotFoundError("key-unknown", "The backend holds no such key for this factory.")

    def add_active(self, factory_id: int | None, key: SealedKey) -> None:
        self._session.run(
            _ADD,
            scope=SHARED_SCOPE if factory_id is None else factory_id,
            spki_sha256=key.spki_sha256,
            purpose=key.purpose.value,
            sealed=key.sealed,
            pending=False,
            kind=None,
            dns_names=None,
            created_at=None,
            expires_at=None,
            token_key_id=key.token_key_id,
        )

    def find(self, spki_sha256: bytes) -> SealedKey | None:
        row = self._session.one(_FIND, key=spki_sha256)
        if row is None:
            return None
        spki_sha256, purpose, sealed, token_key_id = row
        on_token = None if token_key_id is None else bytes(token_key_id)
        return SealedKey(bytes(spki_sha256), SealedKeyPurpose(purpose), bytes(sealed), on_token)

    def destroy(self, spki_sha256: bytes) -> None:
        self._session.run(_DESTROY, key=spki_sha256)


def _read_pending(row: Row) -> PendingKey:
    kind, spki_sha256, dns_names, created_at, expires_at = row
    return PendingKey(
        KeyKind(kind),
        bytes(spki_sha256),
        tuple(dns_names.split()),
        from_seconds(created_at),
        from_seconds(expires_at),
    )
