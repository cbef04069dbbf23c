"""Announced keys, replaced keys, and which factories let expired devices renew."""

import dataclasses
from datetime import timedelta

import pytest

from ownroot.errors import ConflictError, NotFoundError
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import Database
from ownroot.services.records import DeniedKey, Device, Factory, RecoveryPolicy
from tests.support.stored_values import NOW, a_device, make_factory, sha256

LATER = NOW + timedelta(hours=1)


def add(database: Database, *devices: Device) -> None:
    for device in devices:
        database.write(lambda uow, device=device: uow.devices.add(device)).result()


def announce(database: Database, device: Device, key: str) -> Device:
    changed = dataclasses.replace(device, next_spki_sha256=sha256(key), next_key_at=LATER)
    database.write(lambda uow: uow.devices.replace_key(changed)).result()
    return changed


def refusal(database: Database, work) -> str:
    with pytest.raises(ConflictError) as refused:
        database.write(work).result()
    return refused.value.code


def test_an_announced_key_reads_back_with_its_time_and_may_be_forgotten(database: Database, factory: Factory) -> None:
    device = a_device(factory)
    add(database, device)
    changed = announce(database, device, "next")
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == changed
    database.write(lambda uow: uow.devices.replace_key(device)).result()
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == device


def test_a_key_is_one_devices_whether_it_has_it_or_has_announced_it(database: Database, factory: Factory) -> None:
    first, second = a_device(factory), a_device(factory, "dev-2", spki_sha256=sha256("second"))
    add(database, first, second)
    announce(database, first, "next")
    taken = dataclasses.replace(second, next_spki_sha256=sha256("next"))
    assert refusal(database, lambda uow: uow.devices.replace_key(taken)) == "device-key-taken"
    present = dataclasses.replace(second, next_spki_sha256=first.spki_sha256)
    assert refusal(database, lambda uow: uow.devices.replace_key(present)) == "device-key-taken"
    newcomer = a_device(factory, "dev-3", spki_sha256=sha256("next"))
    assert refusal(database, lambda uow: uow.devices.add(newcomer)) == "device-key-taken"
    other = make_factory(database, "other")
    database.write(lambda uow: uow.devices.add(dataclasses.replace(newcomer, factory_id=other.id))).result()


@pytest.mark.parametrize(
    ("key", "code"), [("dev-1", None), ("next", None), ("free", None), ("second", "device-key-taken")]
)
def test_a_device_may_come_with_its_own_keys_and_with_free_ones(
    database: Database, factory: Factory, key: str, code: str | None
) -> None:
    first, second = a_device(factory), a_device(factory, "dev-2", spki_sha256=sha256("second"))
    add(database, first, second)
    first = announce(database, first, "next")
    if code is None:
        database.write(lambda uow: uow.devices.require_free_key(first, sha256(key))).result()
    else:
        assert refusal(database, lambda uow: uow.devices.require_free_key(first, sha256(key))) == code


def test_a_replaced_key_is_nobodys_any_more(database: Database, factory: Factory) -> None:
    denied = DeniedKey(factory.id, sha256("old"), DeviceUuid("dev-1"), NOW)
    device = a_device(factory)
    add(database, device)
    database.write(lambda uow: uow.denied_keys.deny(denied)).result()
    assert database.read(lambda uow: uow.denied_keys.find(factory.id, sha256("old"))) == denied
    assert database.read(lambda uow: uow.denied_keys.find(factory.id, sha256("new"))) is None
    back = dataclasses.replace(device, spki_sha256=sha256("old"))
    assert refusal(database, lambda uow: uow.devices.replace_key(back)) == "device-key-replaced"
    newcomer = a_device(factory, "dev-2", spki_sha256=sha256("old"))
    assert refusal(database, lambda uow: uow.devices.add(newcomer)) == "device-key-replaced"
    assert refusal(database, lambda uow: uow.devices.require_free_key(device, sha256("old"))) == "device-key-replaced"


def test_the_first_time_of_a_denial_stays_and_sights_are_noted(database: Database, factory: Factory) -> None:
    denied = DeniedKey(factory.id, sha256("old"), DeviceUuid("dev-1"), NOW)
    for at in (NOW, LATER):
        again = dataclasses.replace(denied, denied_at=at)
        database.write(lambda uow, again=again: uow.denied_keys.deny(again)).result()
    database.write(lambda uow: uow.denied_keys.note_shown(factory.id, sha256("old"), at=LATER)).result()
    shown = dataclasses.replace(denied, shown_at=LATER)
    assert database.read(lambda uow: uow.denied_keys.find(factory.id, sha256("old"))) == shown


def test_a_key_of_a_device_that_is_not_there_is_not_stored(database: Database, factory: Factory) -> None:
    with pytest.raises(NotFoundError):
        database.write(lambda uow: uow.devices.replace_key(a_device(factory))).result()


def test_a_recovery_policy_is_of_one_factory_and_may_be_replaced_and_removed(
    database: Database, factory: Factory
) -> None:
    other = make_factory(database, "other")
    first = RecoveryPolicy(factory.id, 30, "5f0c1d2e3a4b5c6d7e8f9012", NOW)
    second = dataclasses.replace(first, max_expired_days=90, set_at=LATER)
    for policy in (first, second):
        database.write(lambda uow, policy=policy: uow.recovery_policies.put(policy)).result()
        assert database.read(lambda uow: uow.recovery_policies.find(factory.id)) == policy
    assert database.read(lambda uow: uow.recovery_policies.find(other.id)) is None
    for _ in range(2):
        database.write(lambda uow: uow.recovery_policies.remove(factory.id)).result()
        assert database.read(lambda uow: uow.recovery_policies.find(factory.id)) is None
