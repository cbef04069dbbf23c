"""The owner's changes of configuration: of the factory, of a group, of one device (protocol: api.md §6)."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError
from ownroot.fleet.config_files import MAX_REASON_CHARS, ConfigFile, check_files, put_files, remove_file
from ownroot.fleet.config_times import NEVER
from ownroot.services.authority import Principal
from ownroot.services.config_store import (
    Authorship,
    device_key,
    factory_key,
    group_key,
    put_device_config,
    put_shared_config,
    read_own_files,
    read_shared_files,
)
from ownroot.services.config_values import device_public_key, require_readable_by
from ownroot.services.config_vault import ConfigVault
from ownroot.services.device_groups import find_group
from ownroot.services.manage_devices import DeviceRef, find_device, find_device_and_group
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ConfigChange, ConfigKey, Device, DeviceGroup, Factory

_NAMES_CHARS = 1024


@dataclass(frozen=True, slots=True)
class GroupName:
    """A device group, as a path names it."""

    text: str


ConfigTarget: TypeAlias = DeviceRef | GroupName | None  # None: the whole factory


@dataclass(frozen=True, slots=True)
class ConfigEdit:
    """What becomes of whose configuration.

    Attributes:
        files: merged in by name, or with `replaces` all there are from now on.
        removes: one file to take out instead.
    """

    target: ConfigTarget
    files: tuple[ConfigFile, ...] = ()
    reason: str = ""
    replaces: bool = False
    removes: str | None = None


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """One entry of a history, opened."""

    change: ConfigChange
    files: tuple[ConfigFile, ...]


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whose configuration is meant. `device` is None for one that devices share."""

    key: ConfigKey
    label: str
    device: Device | None = None


def config_history(uow: UnitOfWork, vault: ConfigVault, factory: Factory, target: ConfigTarget) -> list[StoredConfig]:
    """Return the last changes, newest first.

    Raises:
        NotFoundError: `device-unknown`, `device-group-unknown`.
        KeyStoreError: `config-unreadable`.
    """
    subject = _find(uow, factory, target)
    if subject.device is not None and subject.device.config_time == NEVER:
        return []
    return [StoredConfig(change, vault.open(subject.key, change)) for change in uow.configs.history(subject.key)]


def describe_device(
    uow: UnitOfWork, vault: ConfigVault, factory: Factory, ref: DeviceRef
) -> tuple[Device, DeviceGroup | None, StoredConfig | None]:
    """Return a device, its group, and its own configuration if it ever had one; raises as `config_history`."""
    device, group = find_device_and_group(uow, factory, ref)
    key = device_key(device)
    change = None if device.config_time == NEVER else uow.configs.newest(key)
    return device, group, None if change is None else StoredConfig(change, vault.open(key, change))


def change_config(
    uow: UnitOfWork, vault: ConfigVault, edit: ConfigEdit, *, by: Principal, now: datetime
) -> StoredConfig | None:
    """Store the change; devices get it at their next visit. None if there was nothing to merge.

    Raises:
        NotFoundError: `device-unknown`, `device-group-unknown`, `config-file-unknown`.
        InvalidInputError: as `check_files`; `reason-too-long`, `config-value-plain`.
        ConflictError: `rotation-under-way`.
    """
    subject = _find(uow, by.factory, edit.target)
    _require_unlocked(subject)
    _require_reason(edit)
    files = _edited(uow, vault, subject, edit)
    if files is None:
        return None
    made = Authorship(by.user.polis_id, edit.reason, now)
    if subject.device is None:
        change = put_shared_config(uow, vault, subject.key, files, made)
    else:
        change = put_device_config(uow, vault, subject.device, files, made)
    uow.audit.append(by.event(EventKind.CONFIG_CHANGED, subject.label, _details(subject, edit), at=now))
    return StoredConfig(change, files)


def _edited(uow: UnitOfWork, vault: ConfigVault, subject: _Subject, edit: ConfigEdit) -> tuple[ConfigFile, ...] | None:
    """Return the whole configuration as it is to be; None if the edit says nothing."""
    if edit.removes is not None:
        return remove_file(_current(uow, vault, subject), edit.removes)
    if not edit.files and not edit.replaces:
        return None
    is_plain = subject.device is None
    # Checked before they are put in by name, where of two of one name the later would win unseen.
    check_files(edit.files, is_plain=is_plain)
    if subject.device is not None:
        require_readable_by(device_public_key(subject.device), edit.files)
    files = put_files(() if edit.replaces else _current(uow, vault, subject), edit.files)
    check_files(files, is_plain=is_plain)
    return files


def _find(uow: UnitOfWork, factory: Factory, target: ConfigTarget) -> _Subject:
    match target:
        case None:
            return _Subject(factory_key(factory), factory.name)
        case GroupName(text):
            group = find_group(uow, factory, text)
            return _Subject(group_key(group), group.name)
        case DeviceRef():
            device = find_device(uow, factory, target)
            return _Subject(device_key(device), device.uuid, device)


def _current(uow: UnitOfWork, vault: ConfigVault, subject: _Subject) -> tuple[ConfigFile, ...]:
    if subject.device is None:
        return read_shared_files(uow, vault, subject.key)
    return read_own_files(uow, vault, subject.device)


def _require_unlocked(subject: _Subject) -> None:
    device = subject.device
    if device is not None and device.next_spki_sha256 is not None:
        raise ConflictError(
            "rotation-under-way",
            f"Device {device.name} is changing its key, and what is sent now would be encrypted to the old one. Try "
            "again once it has come with the new key.",
        )


def _require_reason(edit: ConfigEdit) -> None:
    if len(edit.reason) > MAX_REASON_CHARS:
        raise InvalidInputError(
            "reason-too-long", f"A reason has at most {MAX_REASON_CHARS} characters.", fields={"reason": "too long"}
        )


def _details(subject: _Subject, edit: ConfigEdit) -> dict[str, str]:
    names = ",".join(file.name for file in edit.files)[:_NAMES_CHARS]
    details = {"scope": subject.key.scope.value, "reason": edit.reason}
    if edit.removes is not None:
        return {**details, "removed": edit.removes}
    return {**details, "replaced" if edit.replaces else "files": names}
