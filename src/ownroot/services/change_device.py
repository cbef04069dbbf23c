"""Rename a device, give it another owner, put it in a group (protocol: api.md §5)."""

from dataclasses import dataclass, replace
from datetime import datetime

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError
from ownroot.pki.names import parse_resource_name
from ownroot.services.authority import Principal
from ownroot.services.config_store import move_config_time
from ownroot.services.device_conflicts import name_taken, require_no_uuid_of_another
from ownroot.services.device_groups import require_group
from ownroot.services.manage_devices import DeviceRef, find_device
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, Device


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What becomes of a device; None leaves it as it is, an empty group takes the device out of its group."""

    name: str | None = None
    owner: str | None = None
    group: str | None = None


def change_device(uow: UnitOfWork, ref: DeviceRef, change: DeviceChange, *, by: Principal, now: datetime) -> Device:
    """Store the change; gateways hear of it once this is committed.

    Raises:
        NotFoundError: `device-unknown`.
        InvalidInputError: `name-invalid`, `owner-unknown`, `group-unknown`.
        ConflictError: `device-name-taken`.
    """
    before = find_device(uow, by.factory, ref)
    after = before
    if change.name is not None:
        after = replace(after, name=_free_name(uow, before, change.name))
    if change.owner is not None:
        after = replace(after, owner=_member(uow, by, change.owner))
    if change.group is not None:
        group = require_group(uow, by.factory, change.group).ref if change.group else None
        after = replace(after, group=group)
    return store_description(uow, before, after, by=by, now=now)


def store_description(uow: UnitOfWork, before: Device, after: Device, *, by: Principal, now: datetime) -> Device:
    """Store what is said about a device, already checked, and tell the audit log and the gateways if it is new.

    Raises:
        ConflictError: `device-name-taken`.
    """
    if after == before:
        return before
    uow.devices.describe(after)
    after = move_config_time(uow, before, after, now=now)
    uow.audit.append(by.event(EventKind.DEVICE_CHANGED, after.uuid, _details(before, after), at=now))
    uow.changes.announce(ChangeKind.DEVICE, after.factory_id, after.uuid)
    return after


def _free_name(uow: UnitOfWork, device: Device, text: str) -> str:
    name = parse_resource_name(text)
    holder = uow.devices.find_by_name(device.factory_id, name)
    if holder is not None and holder.uuid != device.uuid:
        raise name_taken(name)
    require_no_uuid_of_another(uow, replace(device, name=name))
    return name


def _member(uow: UnitOfWork, by: Principal, polis_id: str) -> str:
    if uow.accounts.find_member(by.factory.id, polis_id) is None:
        raise InvalidInputError(
            "owner-unknown",
            f"Factory {by.factory.name} has no member {polis_id[:64]!r}; an owner is named by their polis-id.",
            fields={"owner": "no member"},
        )
    return polis_id


def _details(before: Device, after: Device) -> dict[str, str]:
    values = {
        "name": (before.name, after.name),
        "owner": (before.owner, after.owner),
        "group": tuple("" if device.group is None else device.group.name for device in (before, after)),
    }
    return {what: new for what, (old, new) in values.items() if old != new}
