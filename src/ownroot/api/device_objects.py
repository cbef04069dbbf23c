"""Devices as stored, in the shape of the wire (protocol: api.md §5)."""

import msgspec

from ownroot.pki.encoding import spki_pem
from ownroot.services.records import DeniedDevice, Device, DeviceGroup, Factory
from ownroot.wire.certs import ChangeMeta
from ownroot.wire.devices import DeviceObject, GroupObject, NextKeyObject, wire_time


def listed_device_object(device: Device, factory: Factory) -> DeviceObject:
    """Show a device as listings do: its group by name."""
    return msgspec.structs.replace(
        device_object(device, factory), device_group=device.group.name if device.group else None
    )


def group_object(group: DeviceGroup) -> GroupObject:
    """Show a device group."""
    return GroupObject(
        id=group.id,
        name=group.name,
        description=group.description,
        change_meta=ChangeMeta(
            created_by=group.created_by,
            created_at=wire_time(group.created_at) or "",
            updated_by=group.updated_by,
            updated_at=wire_time(group.updated_at) or "",
        ),
    )


def device_object(device: Device, factory: Factory, group: DeviceGroup | None = None) -> DeviceObject:
    """Show a device with everything we know of it; what we do not know is null."""
    created = wire_time(device.created_at) or ""
    return DeviceObject(
        uuid=device.uuid,
        factory=factory.name,
        name=device.name,
        owner=device.owner,
        group=None if group is None else group_object(group),
        last_seen=wire_time(device.last_seen),
        ostree_hash=device.ostree_hash,
        target_name=device.target_name,
        is_prod=device.production,
        is_wave=False,
        public_key=spki_pem(device.spki_der),
        docker_apps=tuple(device.docker_apps.split(",")) if device.docker_apps else (),
        tag=device.tags,
        secondary_ecus=(),
        next_key=_next_key(device),
        change_meta=ChangeMeta(created_by=device.owner, created_at=created),
    )


def _next_key(device: Device) -> NextKeyObject | None:
    if device.next_spki_sha256 is None or device.next_key_at is None:
        return None
    announced_at = wire_time(device.next_key_at) or ""
    return NextKeyObject(key_sha256=device.next_spki_sha256.hex(), announced_at=announced_at)


def denied_object(denied: DeniedDevice, factory: Factory) -> DeviceObject:
    """Show an entry of the deny list; clients need its uuid, name, owner and factory."""
    denied_at = wire_time(denied.denied_at) or ""
    return DeviceObject(
        uuid=denied.uuid,
        factory=factory.name,
        name=denied.name,
        owner=denied.owner,
        change_meta=ChangeMeta(updated_by=denied.denied_by, updated_at=denied_at),
    )
