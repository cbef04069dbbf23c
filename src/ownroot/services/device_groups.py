"""Make, rename and delete the groups a factory puts its devices in (protocol: api.md §6.3)."""

from dataclasses import dataclass, replace
from datetime import datetime

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.pki.names import parse_resource_name
from ownroot.services.authority import Principal
from ownroot.services.config_store import group_key
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, DeviceGroup, Factory

MAX_DESCRIPTION_CHARS = 512


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What becomes of a group; None leaves it as it is, an empty description clears it."""

    name: str | None = None
    description: str | None = None


def find_group(uow: UnitOfWork, factory: Factory, name: str) -> DeviceGroup:
    """Return one group.

    Raises:
        NotFoundError: `device-group-unknown`.
    """
    group = uow.groups.find(factory.id, name)
    if group is None:
        raise NotFoundError("device-group-unknown", f"Factory {factory.name} has no device group {name[:64]!r}.")
    return group


def require_group(uow: UnitOfWork, factory: Factory, name: str) -> DeviceGroup:
    """Return the group that a request names as a value rather than in its path.

    Raises:
        InvalidInputError: `group-unknown`.
    """
    group = uow.groups.find(factory.id, name)
    if group is None:
        raise InvalidInputError(
            "group-unknown",
            f"There is no device group {name[:64]!r} in factory {factory.name}.",
            fields={"group": "unknown"},
        )
    return group


def create_group(uow: UnitOfWork, name: str, *, description: str, by: Principal, now: datetime) -> DeviceGroup:
    """Make a group.

    Raises:
        InvalidInputError: `name-invalid`, `description-invalid`.
        ConflictError: `device-group-exists`.
    """
    group = uow.groups.add(
        by.factory.id,
        parse_resource_name(name),
        description=_parse_description(description),
        by=by.user.polis_id,
        now=now,
    )
    uow.audit.append(by.event(EventKind.DEVICE_GROUP_CREATED, group.name, {}, at=now))
    return group


def change_group(uow: UnitOfWork, name: str, change: GroupChange, *, by: Principal, now: datetime) -> DeviceGroup:
    """Rename or describe a group; its devices stay in it.

    Raises:
        NotFoundError: `device-group-unknown`.
        InvalidInputError: `name-invalid`, `description-invalid`.
        ConflictError: `device-group-exists`.
    """
    before = find_group(uow, by.factory, name)
    after = replace(
        before,
        name=before.name if change.name is None else parse_resource_name(change.name),
        description=before.description if change.description is None else _parse_description(change.description),
        updated_by=by.user.polis_id,
        updated_at=now,
    )
    uow.groups.save(after)
    details = {"name": after.name} if after.name != before.name else {}
    uow.audit.append(by.event(EventKind.DEVICE_GROUP_CHANGED, before.name, details, at=now))
    return after


def delete_group(uow: UnitOfWork, name: str, *, by: Principal, now: datetime) -> None:
    """Delete a group that no device is in.

    Raises:
        NotFoundError: `device-group-unknown`.
        ConflictError: `device-group-in-use`.
    """
    group = find_group(uow, by.factory, name)
    uow.groups.delete(group)
    uow.configs.forget(group_key(group))
    uow.changes.announce(ChangeKind.DEVICE, by.factory.id)  # its id may be given again, its times must not
    uow.audit.append(by.event(EventKind.DEVICE_GROUP_DELETED, group.name, {}, at=now))


def _parse_description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION_CHARS or not (text.isprintable()):
        raise InvalidInputError(
            "description-invalid",
            f"A description is one line of at most {MAX_DESCRIPTION_CHARS} printable characters.",
            fields={"description": "one printable line"},
        )
    return text
