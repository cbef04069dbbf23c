"""Devices and the deny list. Listings are in `device_listing`.

One index finds a device and its case twins: it holds the lower-case uuid, so two uuids that differ in letter case alone
cannot both be in it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from ownroot.errors import ConflictError, NotFoundError
from ownroot.pki.names import DeviceUuid
from ownroot.pki.serials import serial_text
from ownroot.services.records import CheckIn, DeniedDevice, Device, DeviceFilter, DevicePin, DeviceSort
from ownroot.storage.device_ends import SqlDeviceEnds, day_of
from ownroot.storage.device_listing import DEVICE_COLUMNS, list_devices, read_device
from ownroot.storage.heads import Heads
from ownroot.storage.inserts import insert_if_absent, upsert
from ownroot.storage.schema import denied_devices, denied_keys, device_counts, devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_ADD: Final = insert_if_absent(
    devices,
    "factory_id",
    "uuid",
    "uuid_folded",
    "name",
    "owner",
    "group_id",
    "spki_der",
    "spki_sha256",
    "next_spki_sha256",
    "production",
    "issuer_sha256",
    "issuer_serial",
    "created_at",
    "last_seen",
    "tags",
    "target_name",
    "ostree_hash",
    "docker_apps",
    "config_time",
    "fetch_config_anew",
    "not_after",
    "seen_day",
)
_IN_FACTORY: Final = devices.c.factory_id == param("factory")
_IS_TWIN: Final = devices.c.uuid_folded == param("folded")
_FIND: Final = Statement(sa.select(*DEVICE_COLUMNS).where(_IN_FACTORY, _IS_TWIN))
_FIND_BY_NAME: Final = Statement(sa.select(*DEVICE_COLUMNS).where(_IN_FACTORY, devices.c.name == param("wanted")))
_TWIN: Final = Statement(sa.select(devices.c.uuid).where(_IN_FACTORY, _IS_TWIN))
_IS_KEY_TAKEN: Final = Statement(
    sa.select(devices.c.uuid).where(
        _IN_FACTORY, devices.c.spki_sha256 == param("key"), devices.c.uuid != param("wanted")
    )
)
# A key that a device had before (1), or that another one has announced to come with next (0).
_KEY_OF_ANOTHER_TIME: Final = Statement(
    sa.union_all(
        sa.select(sa.literal_column("1")).where(
            denied_keys.c.factory_id == param("factory"), denied_keys.c.spki_sha256 == param("key")
        ),
        sa.select(sa.literal_column("0")).where(
            _IN_FACTORY, devices.c.next_spki_sha256 == param("key"), devices.c.uuid != param("wanted")
        ),
    )
)
_REPLACE_KEY: Final = Statement(
    sa.update(devices)
    .where(_IN_FACTORY, _IS_TWIN, devices.c.uuid == param("wanted"))
    .values(
        spki_der=param("key_der"),
        spki_sha256=param("key"),
        next_spki_sha256=param("next_key"),
        next_key_at=param("announced_at"),
        production=param("is_production"),
        issuer_sha256=param("issuer"),
        issuer_serial=param("serial"),
        not_after=param("new_end", sa.BigInteger),
        # Of one key alone: those of a key that goes must not accuse the next.
        returns=sa.case((devices.c.spki_sha256 == param("key"), devices.c.returns)),
    )
)
_DESCRIBE: Final = Statement(
    sa.update(devices)
    .where(_IN_FACTORY, _IS_TWIN, devices.c.uuid == param("wanted"))
    .values(name=param("new_name"), owner=param("new_owner"), group_id=param("new_group"))
)
_DELETE: Final = Statement(sa.delete(devices).where(_IN_FACTORY, _IS_TWIN, devices.c.uuid == param("wanted")))
_COUNT: Final = Statement(sa.select(device_counts.c.devices).where(device_counts.c.factory_id == param("factory")))
_CHECK_IN: Final = Statement(
    sa.update(devices)
    .where(_IN_FACTORY, _IS_TWIN, devices.c.uuid == param("wanted"), devices.c.last_seen <= param("seen"))
    .values(
        last_seen=param("seen"),
        tags=sa.func.coalesce(param("new_tags", sa.Text), devices.c.tags),
        target_name=sa.func.coalesce(param("new_target", sa.Text), devices.c.target_name),
        ostree_hash=sa.func.coalesce(param("new_hash", sa.Text), devices.c.ostree_hash),
        docker_apps=sa.func.coalesce(param("new_apps", sa.Text), devices.c.docker_apps),
    )
)

_DENIED_COLUMNS: Final = (
    denied_devices.c.factory_id,
    denied_devices.c.uuid,
    denied_devices.c.name,
    denied_devices.c.owner,
    denied_devices.c.spki_sha256,
    denied_devices.c.denied_at,
    denied_devices.c.denied_by,
)
_DENY: Final = upsert(
    denied_devices,
    "factory_id",
    "uuid",
    "name",
    "owner",
    "spki_sha256",
    "denied_at",
    "denied_by",
    conflict=("factory_id", "uuid"),
    update=lambda new: {
        "name": new.name,
        "owner": new.owner,
        "spki_sha256": new.spki_sha256,
        "denied_at": new.denied_at,
        "denied_by": new.denied_by,
    },
)
_IS_DENIED: Final = sa.and_(denied_devices.c.factory_id == param("factory"), denied_devices.c.uuid == param("wanted"))
_FIND_DENIED: Final = Statement(sa.select(*_DENIED_COLUMNS).where(_IS_DENIED))
_LIFT_DENIAL: Final = Statement(sa.delete(denied_devices).where(_IS_DENIED))
_LIST_DENIED: Final = Statement(
    sa.select(*_DENIED_COLUMNS)
    .where(denied_devices.c.factory_id == param("factory"))
    .order_by(denied_devices.c.uuid)
    .limit(param("most"))
    .offset(param("skip"))
)
_COUNT_DENIED: Final = Statement(
    sa.select(sa.func.count()).select_from(denied_devices).where(denied_devices.c.factory_id == param("factory"))
)

_PINS: Final = Statement(
    sa.select(devices.c.uuid, devices.c.spki_sha256, devices.c.next_spki_sha256, devices.c.quarantined_at)
    .where(_IN_FACTORY, devices.c.uuid_folded > param("last"))
    .order_by(devices.c.uuid_folded)
    .limit(param("most"))
)
_DENIED_UUIDS: Final = Statement(
    sa.select(denied_devices.c.uuid)
    .where(denied_devices.c.factory_id == param("factory"), denied_devices.c.uuid > param("last"))
    .order_by(denied_devices.c.uuid)
    .limit(param("most"))
)


class SqlDevices:
    """Implements `services.repositories.Devices`."""

    def __init__(self, session: Session, heads: Heads) -> None:
        self._session = session
        self._heads = heads

    def add(self, device: Device) -> None:
        """Make a device known.

        Raises:
            ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`,
                `device-key-replaced`.
        """
        if self._session.one(_KEY_OF_ANOTHER_TIME, **_asked(device, device.spki_sha256)) is not None:
            raise self._why_not_added(device)
        added = self._session.run(
            _ADD,
            factory_id=device.factory_id,
            uuid=device.uuid,
            uuid_folded=device.uuid.lower(),
            name=device.name,
            owner=device.owner,
            group_id=None if device.group is None else device.group.id,
            spki_der=device.spki_der,
            spki_sha256=device.spki_sha256,
            next_spki_sha256=device.next_spki_sha256,
            production=device.production,
            issuer_sha256=device.issuer_sha256,
            issuer_serial=serial_text(device.issuer_serial),
            created_at=to_seconds(device.created_at),
            last_seen=0 if device.last_seen is None else to_seconds(device.last_seen),
            tags=device.tags,
            target_name=device.target_name,
            ostree_hash=device.ostree_hash,
            docker_apps=device.docker_apps,
            config_time=device.config_time,
            fetch_config_anew=int(device.fetch_config_anew),
            not_after=None if device.not_after is None else to_seconds(device.not_after),
            seen_day=day_of(device.last_seen),
        )
        if not added:
            raise self._why_not_added(device)
        self._heads.count_device(device.factory_id, 1)

    def find(self, factory_id: int, uuid: str) -> Device | None:
        row = self._session.one(_FIND, factory=factory_id, folded=uuid.lower())
        if row is None:
            return None
        device = read_device(row)
        return device if device.uuid == uuid else None

    def find_by_name(self, factory_id: int, name: str) -> Device | None:
        row = self._session.one(_FIND_BY_NAME, factory=factory_id, wanted=name)
        return None if row is None else read_device(row)

    def has_case_twin(self, factory_id: int, uuid: str) -> bool:
        row = self._session.one(_TWIN, factory=factory_id, folded=uuid.lower())
        return row is not None and row[0] != uuid

    def replace_key(self, device: Device) -> None:
        """Store keys, issuer, production flag and the end of the certificate; a key that goes takes its returns along.

        Raises:
            NotFoundError: `device-unknown`.
            ConflictError: `device-key-taken`, `device-key-replaced`.
        """
        for key in (device.spki_sha256, device.next_spki_sha256):
            if key is not None:
                self.require_free_key(device, key)
        replaced = self._session.run(
            _REPLACE_KEY,
            factory=device.factory_id,
            folded=device.uuid.lower(),
            wanted=device.uuid,
            key_der=device.spki_der,
            key=device.spki_sha256,
            next_key=device.next_spki_sha256,
            announced_at=None if device.next_key_at is None else to_seconds(device.next_key_at),
            is_production=device.production,
            issuer=device.issuer_sha256,
            serial=serial_text(device.issuer_serial),
            new_end=None if device.not_after is None else to_seconds(device.not_after),
        )
        if not replaced:
            raise _unknown(device.uuid)

    def describe(self, device: Device) -> None:
        """Store name, owner and group.

        Raises:
            NotFoundError: `device-unknown`.
            ConflictError: `device-name-taken`.
        """
        holder = self.find_by_name(device.factory_id, device.name)
        if holder is not None and holder.uuid != device.uuid:
            raise _name_taken(device.name)
        described = self._session.run(
            _DESCRIBE,
            factory=device.factory_id,
            folded=device.uuid.lower(),
            wanted=device.uuid,
            new_name=device.name,
            new_owner=device.owner,
            new_group=None if device.group is None else device.group.id,
        )
        if not described:
            raise _unknown(device.uuid)

    def delete(self, factory_id: int, uuid: str) -> None:
        if self._session.run(_DELETE, factory=factory_id, folded=uuid.lower(), wanted=uuid):
            self._heads.count_device(factory_id, -1)

    def deny(self, denied: DeniedDevice) -> None:
        self._session.run(
            _DENY,
            factory_id=denied.factory_id,
            uuid=denied.uuid,
            name=denied.name,
            owner=denied.owner,
            spki_sha256=denied.spki_sha256,
            denied_at=to_seconds(denied.denied_at),
            denied_by=denied.denied_by,
        )

    def find_denied(self, factory_id: int, uuid: str) -> DeniedDevice | None:
        row = self._session.one(_FIND_DENIED, factory=factory_id, wanted=uuid)
        return None if row is None else _read_denied(row)

    def lift_denial(self, factory_id: int, uuid: str) -> None:
        self._session.run(_LIFT_DENIAL, factory=factory_id, wanted=uuid)

    def list_denied(self, factory_id: int, *, limit: int, page: int) -> tuple[Sequence[DeniedDevice], int]:
        rows = self._session.all(_LIST_DENIED, factory=factory_id, most=limit, skip=(page - 1) * limit)
        total = self._session.one(_COUNT_DENIED, factory=factory_id)
        return [_read_denied(row) for row in rows], total[0] if total else 0

    def page(
        self, factory_id: int, where: DeviceFilter, *, sort: Sequence[DeviceSort], limit: int, page: int
    ) -> tuple[Sequence[Device], int]:
        """Return one page (1-based) and the total number of matches, which triggers have counted."""
        return list_devices(self._session, factory_id, where, sort=sort, limit=limit, skip=(page - 1) * limit)

    def count(self, factory_id: int) -> int:
        row = self._session.one(_COUNT, factory=factory_id)
        return (row[0] if row else 0) + self._heads.waiting_devices(factory_id)

    def pins(self, factory_id: int, *, after: str, limit: int) -> Sequence[DevicePin]:
        rows = self._session.all(_PINS, factory=factory_id, last=after.lower(), most=limit)
        return [_read_pin(row) for row in rows]

    def denied_uuids(self, factory_id: int, *, after: str, limit: int) -> Sequence[DeviceUuid]:
        rows = self._session.all(_DENIED_UUIDS, factory=factory_id, last=after, most=limit)
        return [DeviceUuid(row[0]) for row in rows]

    def record_check_ins(self, visits: Iterable[CheckIn]) -> None:
        listed = list(visits)
        SqlDeviceEnds(self._session).note_visits(listed)
        self._session.run_many(_CHECK_IN, [_visit_row(visit) for visit in listed])

    def require_free_key(self, device: Device, spki_sha256: bytes) -> None:
        asked = _asked(device, spki_sha256)
        if self._session.one(_IS_KEY_TAKEN, **asked) is not None:
            raise _key_taken()
        earlier = self._session.one(_KEY_OF_ANOTHER_TIME, **asked)
        if earlier is not None:
            raise _key_replaced() if earlier[0] else _key_taken()

    def _why_not_added(self, device: Device) -> ConflictError:
        row = self._session.one(_TWIN, factory=device.factory_id, folded=device.uuid.lower())
        if row is not None and row[0] == device.uuid:
            return ConflictError("device-uuid-taken", f"There is a device with the uuid {device.uuid} already.")
        if row is not None:
            return ConflictError(
                "device-uuid-case-twin",
                f"The uuid {device.uuid} differs from that of the device {row[0]} in letter case alone.",
            )
        if self.find_by_name(device.factory_id, device.name) is not None:
            return _name_taken(device.name)
        earlier = self._session.one(_KEY_OF_ANOTHER_TIME, **_asked(device, device.spki_sha256))
        return _key_replaced() if earlier is not None and earlier[0] else _key_taken()


def _unknown(uuid: str) -> NotFoundError:
    return NotFoundError("device-unknown", f"There is no device with the uuid {uuid}.")


def _name_taken(name: str) -> ConflictError:
    return ConflictError("device-name-taken", f"There is a device called {name} already.")


def _key_taken() -> ConflictError:
    return ConflictError("device-key-taken", "Another device of this factory has this very key.")


def _key_replaced() -> ConflictError:
    return ConflictError(
        "device-key-replaced", "A device of this factory had this very key and replaced it. Make a new key."
    )


def _asked(device: Device, key: bytes) -> dict[str, Any]:
    return {"factory": device.factory_id, "key": key, "wanted": device.uuid}


def _visit_row(visit: CheckIn) -> dict[str, Any]:
    return {
        "factory": visit.factory_id,
        "folded": visit.uuid.lower(),
        "wanted": visit.uuid,
        "seen": to_seconds(visit.seen_at),
        "new_tags": visit.tags,
        "new_target": visit.target_name,
        "new_hash": visit.ostree_hash,
        "new_apps": visit.docker_apps,
    }


def _read_pin(row: Row) -> DevicePin:
    uuid, key, next_key, quarantined_at = row
    return DevicePin(
        DeviceUuid(uuid), bytes(key), None if next_key is None else bytes(next_key), quarantined_at is not None
    )


def _read_denied(row: Row) -> DeniedDevice:
    factory_id, uuid, name, owner, spki_sha256, denied_at, denied_by = row
    return DeniedDevice(
        factory_id, DeviceUuid(uuid), name, owner, bytes(spki_sha256), from_seconds(denied_at), denied_by
    )
