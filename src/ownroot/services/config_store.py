"""How a configuration is put in the place of the one before: its time, its history, who hears of it.

Shared by the owner's changes and the device's own. Nothing here is audited; callers say who did it and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ownroot.fleet.config_files import HISTORY_KEPT, ConfigFile
from ownroot.fleet.config_times import NEVER, ConfigTimes, next_time
from ownroot.services.config_vault import ConfigVault
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import (
    ChangeKind,
    ConfigChange,
    ConfigKey,
    ConfigScope,
    Device,
    DeviceGroup,
    Factory,
    GroupRef,
)


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who changes a configuration, when and why. `by`: polis-id, or `device:<uuid>`."""

    by: str
    reason: str
    at: datetime

    def change(self, config_time: int) -> ConfigChange:
        """Return the entry of the history, its files not yet sealed."""
        return ConfigChange(config_time, self.at, self.by, self.reason, b"")


def factory_key(factory: Factory) -> ConfigKey:
    """Name the configuration of a whole factory."""
    return ConfigKey(factory.id, ConfigScope.FACTORY)


def group_key(group: DeviceGroup) -> ConfigKey:
    """Name the configuration of a group; by its id, so that a rename keeps it."""
    return ConfigKey(group.factory_id, ConfigScope.GROUP, str(group.id))


def device_key(device: Device) -> ConfigKey:
    """Name a device's own configuration."""
    return ConfigKey(device.factory_id, ConfigScope.DEVICE, device.uuid)


def keys_above(device: Device) -> tuple[ConfigKey, ConfigKey | None]:
    """Name what a device shares with others: the configurations of its factory and of its group."""
    group = device.group
    of_group = None if group is None else ConfigKey(device.factory_id, ConfigScope.GROUP, str(group.id))
    return ConfigKey(device.factory_id, ConfigScope.FACTORY), of_group


def times_of(uow: UnitOfWork, device: Device) -> ConfigTimes:
    """Return the times of what a device is told, as stored."""
    factory, group = keys_above(device)
    return ConfigTimes(
        factory=uow.configs.time_of(factory),
        group=NEVER if group is None else uow.configs.time_of(group),
        device=device.config_time,
    )


def read_shared_files(uow: UnitOfWork, vault: ConfigVault, key: ConfigKey | None) -> tuple[ConfigFile, ...]:
    """Return the files of a factory or group, none without a key. Raises KeyStoreError `config-unreadable`."""
    return () if key is None else vault.open(key, uow.configs.newest(key))


def read_own_files(uow: UnitOfWork, vault: ConfigVault, device: Device) -> tuple[ConfigFile, ...]:
    """Return the files of a device's own configuration. Raises KeyStoreError `config-unreadable`."""
    key = device_key(device)
    return () if device.config_time == NEVER else vault.open(key, uow.configs.newest(key))


def put_shared_config(
    uow: UnitOfWork, vault: ConfigVault, key: ConfigKey, files: Sequence[ConfigFile], made: Authorship
) -> ConfigChange:
    """Store a factory's or a group's configuration; gateways hear of it once this is committed."""
    change = made.change(next_time(made.at, after=uow.configs.newest_time(key.factory_id)))
    stored = _add(uow, vault, key, files, change)
    uow.changes.announce(ChangeKind.DEVICE, key.factory_id)
    return stored


def put_device_config(
    uow: UnitOfWork, vault: ConfigVault, device: Device, files: Sequence[ConfigFile], made: Authorship
) -> ConfigChange:
    """Store a device's own configuration; gateways hear of it once this is committed."""
    stamped = _stamp(uow, device, next_time(made.at, after=times_of(uow, device).effective))
    stored = _add(uow, vault, device_key(device), files, made.change(stamped.config_time))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return stored


def move_config_time(uow: UnitOfWork, before: Device, after: Device, *, now: datetime) -> Device:
    """Give a device that changed groups a configuration time after what it saw, if it gets anything else at all."""
    if _group_id(before.group) == _group_id(after.group):
        return after
    seen = times_of(uow, before).effective
    if max(seen, times_of(uow, after).effective) == NEVER:
        return after
    stamped = _stamp(uow, after, next_time(now, after=seen))
    uow.configs.put_newest_time(after.factory_id, stamped.config_time)
    return stamped


def _add(
    uow: UnitOfWork, vault: ConfigVault, key: ConfigKey, files: Sequence[ConfigFile], change: ConfigChange
) -> ConfigChange:
    sealed = replace(change, sealed=vault.seal(key, change.config_time, files))
    uow.configs.add(key, sealed, kept=HISTORY_KEPT)
    uow.configs.put_newest_time(key.factory_id, change.config_time)
    return sealed


def _stamp(uow: UnitOfWork, device: Device, config_time: int) -> Device:
    if device.config_time == NEVER:
        # A server of an earlier schema deletes a device and leaves this; the next of that uuid must not get it.
        uow.configs.forget(device_key(device))
    stamped = replace(device, config_time=config_time)
    uow.configs.stamp_device(stamped)
    return stamped


def _group_id(group: GroupRef | None) -> int | None:
    return None if group is None else group.id
