"""Devices held for review after a restore.

Only who holds a key of a trusted device CA can add a row, but such a key may be stolen. So of a uuid only a few keys
wait, and of a device CA a bounded number; what comes later is refused at the gateway all the same, and stored when the
owner has made room. Keys the owner refused do not count: each of them cost a verdict, not a visit.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from ownroot.pki.names import DeviceUuid
from ownroot.pki.serials import parse_serial, serial_text
from ownroot.services.records import HeldDevice, HeldFilter
from ownroot.storage.inserts import insert
from ownroot.storage.schema import held_devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_KEYS_PER_UUID: Final = 8

_COLUMNS: Final = (
    held_devices.c.factory_id,
    held_devices.c.uuid,
    held_devices.c.spki_sha256,
    held_devices.c.certificate_der,
    held_devices.c.issuer_serial,
    held_devices.c.owner,
    held_devices.c.first_at,
    held_devices.c.last_at,
    held_devices.c.refused_at,
)
_ADD: Final = insert(held_devices, *(column.name for column in _COLUMNS))
_IN_FACTORY: Final = held_devices.c.factory_id == param("factory")
_OF_UUID: Final = sa.and_(_IN_FACTORY, held_devices.c.uuid == param("wanted"))
_OF_KEY: Final = sa.and_(_OF_UUID, held_devices.c.spki_sha256 == param("key"))
_OF_ISSUER: Final = sa.and_(_IN_FACTORY, held_devices.c.issuer_serial == param("issuer"))
_WAITS: Final = held_devices.c.refused_at == sa.literal_column("0")
_UPDATE: Final = Statement(
    sa.update(held_devices)
    .where(_OF_KEY)
    .values(
        certificate_der=param("der"),
        issuer_serial=param("issuer"),
        owner=param("who"),
        last_at=param("seen"),
        refused_at=param("refused"),
    )
)
_LIST_OF_UUID: Final = Statement(
    sa.select(*_COLUMNS).where(_OF_UUID).order_by(held_devices.c.first_at, held_devices.c.spki_sha256)
)
_REMOVE: Final = Statement(sa.delete(held_devices).where(_OF_KEY))
_RELEASE: Final = Statement(sa.delete(held_devices).where(_OF_UUID, _WAITS))
_COUNT_OF_ISSUER: Final = Statement(sa.select(sa.func.count()).select_from(held_devices).where(_OF_ISSUER, _WAITS))
_COUNT: Final = Statement(sa.select(sa.func.count()).select_from(held_devices).where(_WAITS))


class SqlHeldDevices:
    """Implements `services.repositories.HeldDevices`."""

    def __init__(self, session: Session, *, kept_per_ca: int) -> None:
        self._session = session
        self._kept_per_ca = kept_per_ca

    def put(self, held: HeldDevice) -> bool:
        refused = 0 if held.refused_at is None else to_seconds(held.refused_at)
        updated = self._session.run(
            _UPDATE,
            factory=held.factory_id,
            wanted=held.uuid,
            key=held.spki_sha256,
            der=held.certificate_der,
            issuer=serial_text(held.issuer_serial),
            who=held.owner,
            seen=to_seconds(held.last_at),
            refused=refused,
        )
        if updated or not self._has_room(held):
            return bool(updated)
        self._session.run(
            _ADD,
            factory_id=held.factory_id,
            uuid=held.uuid,
            spki_sha256=held.spki_sha256,
            certificate_der=held.certificate_der,
            issuer_serial=serial_text(held.issuer_serial),
            owner=held.owner,
            first_at=to_seconds(held.first_at),
            last_at=to_seconds(held.last_at),
            refused_at=refused,
        )
        return True

    def of_uuid(self, factory_id: int, uuid: str) -> Sequence[HeldDevice]:
        return [_read(row) for row in self._session.all(_LIST_OF_UUID, factory=factory_id, wanted=uuid)]

    def remove(self, factory_id: int, uuid: str, spki_sha256: bytes) -> None:
        self._session.run(_REMOVE, factory=factory_id, wanted=uuid, key=spki_sha256)

    def release(self, factory_id: int, uuid: str) -> None:
        self._session.run(_RELEASE, factory=factory_id, wanted=uuid)

    def page(self, factory_id: int, where: HeldFilter, *, limit: int, page: int) -> tuple[Sequence[HeldDevice], int]:
        conditions = [held_devices.c.factory_id == factory_id, _WAITS]
        if where.uuid is not None:
            conditions.append(held_devices.c.uuid == where.uuid)
        if where.issuer_serial is not None:
            conditions.append(held_devices.c.issuer_serial == serial_text(where.issuer_serial))
        rows = self._session.query(
            sa.select(*_COLUMNS)
            .where(*conditions)
            .order_by(held_devices.c.uuid, held_devices.c.spki_sha256)
            .limit(limit)
            .offset((page - 1) * limit)
        )
        ((total,),) = self._session.query(sa.select(sa.func.count()).select_from(held_devices).where(*conditions))
        return [_read(row) for row in rows], total

    def count(self) -> int:
        row = self._session.one(_COUNT)
        return row[0] if row else 0

    def _has_room(self, held: HeldDevice) -> bool:
        others = self.of_uuid(held.factory_id, held.uuid)
        if sum(other.refused_at is None for other in others) >= _KEYS_PER_UUID:
            return False
        row = self._session.one(_COUNT_OF_ISSUER, factory=held.factory_id, issuer=serial_text(held.issuer_serial))
        return row is None or row[0] < self._kept_per_ca


def _read(row: Row) -> HeldDevice:
    factory_id, uuid, spki_sha256, certificate_der, issuer_serial, owner, first_at, last_at, refused_at = row
    return HeldDevice(
        factory_id=factory_id,
        uuid=DeviceUuid(uuid),
        spki_sha256=bytes(spki_sha256),
        certificate_der=bytes(certificate_der),
        issuer_serial=parse_serial(issuer_serial),
        owner=owner,
        first_at=from_seconds(first_at),
        last_at=from_seconds(last_at),
        refused_at=from_seconds(refused_at) if refused_at else None,
    )
