"""Signs of copied keys, suspicions, and what a factory's owner makes of them."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from ownroot.fleet.clones import CloneSign
from ownroot.fleet.networks import Family, Network
from ownroot.services.ports import Database
from ownroot.services.records import (
    ClonePolicy,
    Device,
    DeviceFilter,
    DeviceSort,
    Factory,
    NetworkUse,
    Suspicion,
)
from tests.support.stored_values import NOW, a_device, make_factory, sha256

LATER = NOW + timedelta(hours=1)
BERLIN, HERE = Network(Family.IPV4, "203.0.0.0/16"), Network(Family.IPV6, "2001:db8:7::/48")
SUSPICION = Suspicion(CloneSign.TWO_NETWORKS, "from two networks", NOW)


def use(factory: Factory, network: Network) -> NetworkUse:
    return NetworkUse(factory.id, a_device(factory).uuid, sha256("dev-1"), network, None, returned=False, at=NOW)


def stored(database: Database, factory: Factory, uuid: str = "dev-1") -> Device:
    device = database.read(lambda uow: uow.devices.find(factory.id, uuid))
    assert device is not None
    return device


@pytest.fixture
def device(database: Database, factory: Factory) -> Device:
    made = a_device(factory)
    database.write(lambda uow: uow.devices.add(made)).result()
    return made


def test_the_networks_of_the_two_families_are_kept_apart(database: Database, factory: Factory, device: Device) -> None:
    assert stored(database, factory).networks == (None, None)
    for network in (BERLIN, HERE):
        database.write(lambda uow, network=network: uow.clones.note_use(use(factory, network), ())).result()
    assert stored(database, factory).networks == (BERLIN.text, HERE.text)


def test_returns_read_back_and_are_replaced(database: Database, factory: Factory, device: Device) -> None:
    assert database.read(lambda uow: uow.clones.returns(factory.id, device.uuid)) == ()
    for returns in ((NOW, LATER), (LATER,), ()):
        database.write(lambda uow, returns=returns: uow.clones.note_use(use(factory, BERLIN), returns)).result()
        assert database.read(lambda uow: uow.clones.returns(factory.id, device.uuid)) == returns


@pytest.mark.parametrize("quarantined_at", [None, LATER])
def test_a_suspicion_reads_back_until_the_device_is_released(
    database: Database, factory: Factory, device: Device, quarantined_at: object
) -> None:
    suspicion = dataclasses.replace(SUSPICION, quarantined_at=quarantined_at)
    database.write(lambda uow: uow.clones.note_use(use(factory, BERLIN), (NOW,))).result()
    database.write(lambda uow: uow.clones.suspect(factory.id, device.uuid, suspicion)).result()
    assert stored(database, factory).suspicion == suspicion
    database.write(lambda uow: uow.clones.release(factory.id, device.uuid, at=LATER)).result()
    released = stored(database, factory)
    assert (released.suspicion, released.networks, released.released_at) == (None, (None, None), LATER)
    assert database.read(lambda uow: uow.clones.returns(factory.id, device.uuid)) == ()


def test_a_key_that_is_replaced_leaves_the_suspicion(database: Database, factory: Factory, device: Device) -> None:
    database.write(lambda uow: uow.clones.suspect(factory.id, device.uuid, SUSPICION)).result()
    changed = dataclasses.replace(device, spki_sha256=sha256("new"))
    database.write(lambda uow: uow.devices.replace_key(changed)).result()
    assert stored(database, factory).suspicion == SUSPICION


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"spki_sha256": sha256("new")}, ()),
        ({"next_spki_sha256": sha256("new")}, (NOW,)),
        ({"issuer_serial": 7}, (NOW,)),
    ],
)
def test_a_key_that_is_replaced_takes_its_returns_along(
    database: Database, factory: Factory, device: Device, change: dict[str, Any], left: tuple[object, ...]
) -> None:
    database.write(lambda uow: uow.clones.note_use(use(factory, BERLIN), (NOW,))).result()
    database.write(lambda uow: uow.devices.replace_key(dataclasses.replace(device, **change))).result()
    assert database.read(lambda uow: uow.clones.returns(factory.id, device.uuid)) == left
    assert stored(database, factory).networks == (BERLIN.text, None)


def test_nothing_is_stored_of_a_device_that_is_not_there(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.clones.note_use(use(factory, BERLIN), (NOW,))).result()
    database.write(lambda uow: uow.clones.suspect(factory.id, "dev-1", SUSPICION)).result()
    assert database.read(lambda uow: uow.clones.returns(factory.id, "dev-1")) == ()
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) is None


def test_devices_under_suspicion_can_be_listed_alone(database: Database, factory: Factory, device: Device) -> None:
    other = a_device(factory, "dev-2", spki_sha256=sha256("second"))
    database.write(lambda uow: uow.devices.add(other)).result()
    database.write(lambda uow: uow.clones.suspect(factory.id, "dev-2", SUSPICION)).result()
    where = DeviceFilter(suspected=True)
    found, total = database.read(
        lambda uow: uow.devices.page(factory.id, where, sort=(DeviceSort.NAME,), limit=10, page=1)
    )
    assert ([one.uuid for one in found], total) == (["dev-2"], 1)


def test_pins_say_who_is_in_quarantine(database: Database, factory: Factory, device: Device) -> None:
    for quarantined_at in (None, LATER):
        suspicion = dataclasses.replace(SUSPICION, quarantined_at=quarantined_at)
        database.write(lambda uow, one=suspicion: uow.clones.suspect(factory.id, "dev-1", one)).result()
        (pin,) = database.read(lambda uow: uow.devices.pins(factory.id, after="", limit=10))
        assert pin.is_quarantined == (quarantined_at is not None)


def test_a_policy_is_of_one_factory_and_may_be_replaced(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    first = ClonePolicy(factory.id, True, "5f0c1d2e3a4b5c6d7e8f9012", NOW)
    for policy in (first, dataclasses.replace(first, quarantines=False, set_at=LATER)):
        database.write(lambda uow, policy=policy: uow.clones.put_policy(policy)).result()
        assert database.read(lambda uow: uow.clones.find_policy(factory.id)) == policy
    assert database.read(lambda uow: uow.clones.find_policy(other.id)) is None
