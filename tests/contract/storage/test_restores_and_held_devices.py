"""Restores on record, and devices held for review."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from ownroot.errors import ConflictError
from ownroot.services.ports import Database
from ownroot.services.records import Factory, HeldDevice, HeldFilter
from ownroot.storage import StorageOptions, open_database
from ownroot.trust.restores import RestoreWindow
from tests.support.stored_values import NOW, a_held_device, make_factory, sha256

LATER = NOW + timedelta(hours=1)


def put(database: Database, *held: HeldDevice) -> list[bool]:
    return [database.write(lambda uow, one=one: uow.held_devices.put(one)).result() for one in held]


def waiting(database: Database, factory: Factory, **where: Any) -> list[str]:
    found, total = database.read(lambda uow: uow.held_devices.page(factory.id, HeldFilter(**where), limit=100, page=1))
    assert total == len(found)
    return [held.uuid for held in found]


def test_restores_read_back_oldest_first(database: Database) -> None:
    windows = [RestoreWindow(NOW, LATER), RestoreWindow(NOW - timedelta(days=9), NOW)]
    for window in windows:
        database.write(lambda uow, window=window: uow.restores.add(window)).result()
    assert database.read(lambda uow: uow.restores.list()) == windows


def test_a_database_that_was_never_restored_has_none(database: Database) -> None:
    assert database.read(lambda uow: uow.restores.list()) == []


def test_a_held_device_reads_back_as_it_was_put(database: Database, factory: Factory) -> None:
    held = a_held_device(factory, refused_at=LATER)
    assert put(database, held) == [True]
    assert database.read(lambda uow: uow.held_devices.of_uuid(factory.id, "dev-1")) == [held]


def test_putting_it_again_keeps_when_it_came_first(database: Database, factory: Factory) -> None:
    held = a_held_device(factory)
    again = dataclasses.replace(
        held, certificate_der=b"another", issuer_serial=7, owner="other", first_at=LATER, last_at=LATER
    )
    assert put(database, held, again) == [True, True]
    expected = dataclasses.replace(again, first_at=NOW)
    assert database.read(lambda uow: uow.held_devices.of_uuid(factory.id, "dev-1")) == [expected]


def test_a_uuid_may_be_held_with_several_keys_oldest_first(database: Database, factory: Factory) -> None:
    first, second = a_held_device(factory), a_held_device(factory, spki_sha256=sha256("other"), first_at=LATER)
    put(database, second, first)
    assert database.read(lambda uow: uow.held_devices.of_uuid(factory.id, "dev-1")) == [first, second]


def test_a_ninth_key_of_one_uuid_finds_no_room_but_one_of_the_eight_is_renewed(
    database: Database, factory: Factory
) -> None:
    keys = [a_held_device(factory, spki_sha256=sha256(str(number))) for number in range(9)]
    assert put(database, *keys) == [True] * 8 + [False]
    assert put(database, keys[0]) == [True]
    assert put(database, a_held_device(factory, "dev-2")) == [True]


def test_refusing_keys_makes_room_for_others(address: str, database: Database) -> None:
    factory = make_factory(database)
    keys = [a_held_device(factory, spki_sha256=sha256(str(number))) for number in range(9)]
    opened = open_database(address, options=StorageOptions(held_devices_kept=8))
    try:
        put(opened, *keys[:8])
        assert put(opened, keys[8]) == [False]
        assert put(opened, dataclasses.replace(keys[0], refused_at=NOW), keys[8]) == [True, True]
    finally:
        opened.close()


def test_a_full_list_of_one_device_ca_leaves_room_for_another(address: str, database: Database) -> None:
    factory = make_factory(database)
    opened = open_database(address, options=StorageOptions(held_devices_kept=2))
    try:
        assert put(opened, *(a_held_device(factory, f"dev-{number}") for number in range(3))) == [True, True, False]
        assert put(opened, a_held_device(factory, "dev-4", issuer_serial=7)) == [True]
    finally:
        opened.close()
    assert waiting(database, factory) == ["dev-0", "dev-1", "dev-4"]


def test_what_waits_is_paged_by_uuid_and_by_device_ca(database: Database, factory: Factory) -> None:
    put(database, *(a_held_device(factory, f"dev-{number}", issuer_serial=number % 2 + 1) for number in range(5)))
    page, total = database.read(lambda uow: uow.held_devices.page(factory.id, HeldFilter(), limit=2, page=2))
    assert ([held.uuid for held in page], total) == (["dev-2", "dev-3"], 5)
    assert waiting(database, factory, issuer_serial=2) == ["dev-1", "dev-3"]
    assert waiting(database, factory, uuid="dev-1") == ["dev-1"]
    assert waiting(database, factory, uuid="dev-1", issuer_serial=1) == []


def test_a_refused_key_does_not_wait_and_stays_when_its_uuid_is_released(database: Database, factory: Factory) -> None:
    refused = a_held_device(factory, spki_sha256=sha256("refused"), refused_at=NOW)
    put(database, a_held_device(factory), refused, a_held_device(factory, "dev-2"))
    assert waiting(database, factory) == ["dev-1", "dev-2"]
    database.write(lambda uow: uow.held_devices.release(factory.id, "dev-1")).result()
    assert waiting(database, factory) == ["dev-2"]
    assert database.read(lambda uow: uow.held_devices.of_uuid(factory.id, "dev-1")) == [refused]


def test_removing_one_key_leaves_the_other(database: Database, factory: Factory) -> None:
    other = a_held_device(factory, spki_sha256=sha256("other"))
    put(database, a_held_device(factory), other)
    for _ in range(2):
        database.write(lambda uow: uow.held_devices.remove(factory.id, "dev-1", sha256("dev-1"))).result()
    assert database.read(lambda uow: uow.held_devices.of_uuid(factory.id, "dev-1")) == [other]


def test_factories_hold_their_own_and_are_counted_together(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    put(database, a_held_device(factory), a_held_device(other), a_held_device(other, "dev-2", refused_at=NOW))
    assert (waiting(database, factory), waiting(database, other)) == (["dev-1"], ["dev-1"])
    assert database.read(lambda uow: uow.held_devices.count()) == 2


def test_a_factory_that_is_not_there_holds_nothing(database: Database, factory: Factory) -> None:
    stray = dataclasses.replace(a_held_device(factory), factory_id=99)
    with pytest.raises(ConflictError) as refused:
        put(database, stray)
    assert refused.value.code == "reference-missing"
