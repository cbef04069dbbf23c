"""Configurations: histories, times, and what a fetch leaves behind."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import Database
from ownroot.services.records import ConfigChange, ConfigFetch, ConfigKey, ConfigScope, Device, Factory
from tests.support.stored_values import NOW, OWNER, a_device, make_factory, sha256


def of_factory(factory: Factory) -> ConfigKey:
    return ConfigKey(factory.id, ConfigScope.FACTORY)


def of_device(factory: Factory, uuid: str = "dev-1") -> ConfigKey:
    return ConfigKey(factory.id, ConfigScope.DEVICE, uuid)


def a_change(config_time: int, **changes: Any) -> ConfigChange:
    return replace(ConfigChange(config_time, NOW, OWNER.polis_id, "why", b"sealed"), **changes)


def add(database: Database, key: ConfigKey, *times: int, kept: int = 10) -> None:
    for time in times:
        database.write(lambda uow, time=time: uow.configs.add(key, a_change(time), kept=kept)).result()


def stored(database: Database, factory: Factory) -> Device:
    device = database.read(lambda uow: uow.devices.find(factory.id, "dev-1"))
    assert device is not None
    return device


def test_every_copy_is_doubted_until_its_device_fetched(database: Database, factory: Factory) -> None:
    for uuid in ("dev-1", "dev-2"):
        database.write(lambda uow, uuid=uuid: uow.devices.add(a_device(factory, uuid))).result()
    assert not stored(database, factory).fetch_config_anew
    database.write(lambda uow: uow.configs.doubt_every_copy()).result()
    device = stored(database, factory)
    assert device.fetch_config_anew
    fetch = ConfigFetch(factory.id, device.uuid, device.spki_sha256, 1, NOW)
    database.write(lambda uow: uow.configs.record_fetches([fetch])).result()
    assert not stored(database, factory).fetch_config_anew
    other = database.read(lambda uow: uow.devices.find(factory.id, "dev-2"))
    assert other is not None
    assert other.fetch_config_anew


def test_history_is_newest_first_and_bounded(database: Database, factory: Factory) -> None:
    key = of_factory(factory)
    add(database, key, 1, 2, 3, 4, kept=3)
    assert database.read(lambda uow: uow.configs.history(key)) == [a_change(4), a_change(3), a_change(2)]
    assert database.read(lambda uow: uow.configs.newest(key)) == a_change(4)
    assert database.read(lambda uow: uow.configs.time_of(key)) == 4


def test_each_scope_has_its_own(database: Database, factory: Factory) -> None:
    keys = (of_factory(factory), ConfigKey(factory.id, ConfigScope.GROUP, "1"), of_device(factory, "1"))
    for time, key in enumerate(keys, 1):
        add(database, key, time)
    assert [database.read(lambda uow, key=key: uow.configs.time_of(key)) for key in keys] == [1, 2, 3]
    database.write(lambda uow: uow.configs.forget(keys[1])).result()
    assert [database.read(lambda uow, key=key: uow.configs.time_of(key)) for key in keys] == [1, 0, 3]
    other = make_factory(database, "other")
    assert database.read(lambda uow: uow.configs.newest(of_factory(other))) is None


def test_times_of_factory_and_groups_come_in_one_look(database: Database, factory: Factory) -> None:
    assert database.read(lambda uow: uow.configs.times(factory.id)) == (0, {})
    add(database, of_factory(factory), 1, 5)
    add(database, ConfigKey(factory.id, ConfigScope.GROUP, "7"), 3, 4)
    add(database, of_device(factory), 9)
    assert database.read(lambda uow: uow.configs.times(factory.id)) == (5, {7: 4})


def test_clock_of_a_factory_only_goes_forward(database: Database, factory: Factory) -> None:
    assert database.read(lambda uow: uow.configs.newest_time(factory.id)) == 0
    for time in (5, 3):
        database.write(lambda uow, time=time: uow.configs.put_newest_time(factory.id, time)).result()
    assert database.read(lambda uow: uow.configs.newest_time(factory.id)) == 5


def test_stamp_is_stored_and_nothing_else(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    stamped = a_device(factory, config_time=7, fetch_config_anew=True)
    database.write(lambda uow: uow.configs.stamp_device(replace(stamped, name="other"))).result()
    assert stored(database, factory) == stamped


def fetch(factory: Factory, config_time: int, **changes: Any) -> ConfigFetch:
    made = ConfigFetch(factory.id, DeviceUuid("dev-1"), sha256("dev-1"), config_time, NOW + timedelta(minutes=1))
    return replace(made, **changes)


def test_fetch_applies_the_newest_it_covers_once(database: Database, factory: Factory) -> None:
    key = of_device(factory)
    add(database, key, 1, 2, 3)
    for at in (fetch(factory, 2), fetch(factory, 2, at=NOW + timedelta(hours=1))):
        database.write(lambda uow, at=at: uow.configs.record_fetches([at])).result()
    applied = [change.applied_at for change in database.read(lambda uow: uow.configs.history(key))]
    assert applied == [None, NOW + timedelta(minutes=1), None]


def test_fetch_ends_the_mark_of_the_key_it_was_made_with(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory, fetch_config_anew=True))).result()
    old = fetch(factory, 1, spki_sha256=sha256("another key"))
    database.write(lambda uow: uow.configs.record_fetches([old])).result()
    assert stored(database, factory).fetch_config_anew
    database.write(lambda uow: uow.configs.record_fetches([fetch(factory, 1)])).result()
    assert not stored(database, factory).fetch_config_anew
