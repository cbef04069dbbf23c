"""Device groups."""

import dataclasses
from datetime import timedelta

import pytest

from ownroot.errors import ConflictError
from ownroot.services.ports import Database
from ownroot.services.records import Factory
from tests.support.stored_values import NOW, OWNER, a_device, make_factory, make_group

LATER = NOW + timedelta(hours=1)


def test_groups_read_back_by_name_in_their_own_factory(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    made = [make_group(database, factory, name) for name in ("b", "a")]
    elsewhere = make_group(database, other, "a")
    assert database.read(lambda uow: uow.groups.list(factory.id)) == made[::-1]
    assert database.read(lambda uow: uow.groups.find(factory.id, "a")) == made[1]
    assert database.read(lambda uow: uow.groups.find(other.id, "a")) == elsewhere
    assert database.read(lambda uow: uow.groups.find(factory.id, "A")) is None


def test_name_is_used_once_in_a_factory(database: Database, factory: Factory) -> None:
    make_group(database, factory, "a")
    with pytest.raises(ConflictError) as refused:
        make_group(database, factory, "a")
    assert refused.value.code == "device-group-exists"


def test_renamed_group_keeps_its_devices(database: Database, factory: Factory) -> None:
    group = make_group(database, factory, "a")
    database.write(lambda uow: uow.devices.add(a_device(factory, group=group.ref))).result()
    renamed = dataclasses.replace(group, name="b", description="new", updated_by="1" * 24, updated_at=LATER)
    database.write(lambda uow: uow.groups.save(renamed)).result()
    assert database.read(lambda uow: uow.groups.list(factory.id)) == [renamed]
    device = database.read(lambda uow: uow.devices.find(factory.id, "dev-1"))
    assert device is not None
    assert device.group == renamed.ref


def test_group_is_not_renamed_to_another_ones_name(database: Database, factory: Factory) -> None:
    group, _ = (make_group(database, factory, name) for name in ("a", "b"))
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.groups.save(dataclasses.replace(group, name="b"))).result()
    assert refused.value.code == "device-group-exists"
    database.write(lambda uow: uow.groups.save(dataclasses.replace(group, description="same name"))).result()


def test_group_with_a_device_in_it_is_not_deleted(database: Database, factory: Factory) -> None:
    group = make_group(database, factory)
    database.write(lambda uow: uow.devices.add(a_device(factory, group=group.ref))).result()
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.groups.delete(group)).result()
    assert refused.value.code == "device-group-in-use"
    database.write(lambda uow: uow.devices.delete(factory.id, "dev-1")).result()
    database.write(lambda uow: uow.groups.delete(group)).result()
    assert database.read(lambda uow: uow.groups.list(factory.id)) == []
    assert group.created_by == OWNER.polis_id
