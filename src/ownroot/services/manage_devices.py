"""Look at the devices of a factory, delete them, and lift the denial that a deletion leaves behind.

A deleted device holds a certificate that is still valid, and devices are created at their first contact with the
gateway; so every deletion denies the uuid, until it is registered again through the API or the denial is lifted by
hand (protocol: api.md §5, registration.md §1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import EventKind
from ownroot.errors import NotFoundError
from ownroot.services.authority import Principal
from ownroot.services.config_store import device_key
from ownroot.services.device_reservations import void_open_intents
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, DeniedDevice, Device, DeviceFilter, DeviceGroup, DeviceSort, Factory


@dataclass(frozen=True, slots=True)
class DeviceRef:
    """How a path names a device: by name, or by uuid."""

    text: str
    is_uuid: bool

    def __str__(self) -> str:
        return f"{'uuid' if self.is_uuid else 'name'} {self.text[:64]!r}"


@dataclass(frozen=True, slots=True)
class Paging:
    """One page of a listing, counted from 1."""

    limit: int
    page: int = 1


def list_devices(
    uow: UnitOfWork, factory: Factory, where: DeviceFilter, *, sort: Sequence[DeviceSort], paging: Paging
) -> tuple[Sequence[Device], int]:
    """Return one page of the factory's devices and how many there are on all pages."""
    return uow.devices.page(factory.id, where, sort=sort, limit=paging.limit, page=paging.page)


def find_device(uow: UnitOfWork, factory: Factory, ref: DeviceRef) -> Device:
    """Return one device.

    Raises:
        NotFoundError: `device-unknown`.
    """
    find = uow.devices.find if ref.is_uuid else uow.devices.find_by_name
    device = find(factory.id, ref.text)
    if device is None:
        raise NotFoundError("device-unknown", f"Factory {factory.name} has no device with {ref}.")
    return device


def find_device_and_group(uow: UnitOfWork, factory: Factory, ref: DeviceRef) -> tuple[Device, DeviceGroup | None]:
    """Return one device and the group it is in; raises as `find_device`."""
    device = find_device(uow, factory, ref)
    return device, None if device.group is None else uow.groups.find(factory.id, device.group.name)


def delete_device(uow: UnitOfWork, ref: DeviceRef, *, by: Principal, now: datetime) -> Device:
    """Delete a device and deny its uuid; gateways cut its connections once this is committed.

    Raises:
        NotFoundError: `device-unknown`.
    """
    device = find_device(uow, by.factory, ref)
    void_open_intents(uow, device)
    uow.devices.delete(device.factory_id, device.uuid)
    uow.configs.forget(device_key(device))
    uow.held_devices.release(device.factory_id, device.uuid)  # the denial answers for every key of it
    uow.devices.deny(
        DeniedDevice(
            factory_id=device.factory_id,
            uuid=device.uuid,
            name=device.name,
            owner=device.owner,
            spki_sha256=device.spki_sha256,
            denied_at=now,
            denied_by=by.user.polis_id,
        )
    )
    details = {"name": device.name, "key-sha256": device.spki_sha256.hex()}
    uow.audit.append(by.event(EventKind.DEVICE_DELETED, device.uuid, details, at=now))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return device


def list_denied(uow: UnitOfWork, factory: Factory, paging: Paging) -> tuple[Sequence[DeniedDevice], int]:
    """Return one page of the deny list and how many entries it has."""
    return uow.devices.list_denied(factory.id, limit=paging.limit, page=paging.page)


def lift_denial(uow: UnitOfWork, uuid: str, *, by: Principal, now: datetime) -> None:
    """Take a uuid off the deny list: its first contact with the gateway may create it again.

    Raises:
        NotFoundError: `denial-unknown`.
    """
    denied = uow.devices.find_denied(by.factory.id, uuid)
    if denied is None:
        raise NotFoundError("denial-unknown", f"The deny list of factory {by.factory.name} has no {uuid[:64]!r}.")
    uow.devices.lift_denial(by.factory.id, uuid)
    uow.audit.append(by.event(EventKind.DEVICE_DENIAL_LIFTED, denied.uuid, {"name": denied.name}, at=now))
    uow.changes.announce(ChangeKind.DEVICE, by.factory.id, denied.uuid)
