"""Whose trust counts before and after a take-over, and which devices a take-over leaves behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.services.create_factory import FactoryOrder, create_factory
from ownroot.services.effective_pki import effective_pki, is_unclaimed
from ownroot.services.read_gateway_trust import DeviceCertificatePolicy, FactoryTrust, read_trust, refresh_trust
from ownroot.services.records import ChangeKind
from ownroot.services.steps import run_blocking
from tests.support.device_csrs import device_csr, new_key
from tests.support.registering import NOW, RegistrationWorld, registration_world

POLICY = DeviceCertificatePolicy()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as opened:
        yield opened


def counted(world: RegistrationWorld) -> bool:
    """Is it the shared PKI that counts in the factory?"""
    pki, is_shared = world.read(lambda uow: effective_pki(uow, world.factory))
    assert pki == world.read(lambda uow: uow.pki.load(None if is_shared else world.factory.id))
    return is_shared


def unclaimed(world: RegistrationWorld) -> bool:
    device = world.device()
    assert device is not None
    return world.read(lambda uow: is_unclaimed(uow, device))


def test_the_shared_pki_counts_until_take_over_and_the_own_one_from_then_on(world: RegistrationWorld) -> None:
    assert counted(world)
    world.take_over()
    assert not counted(world)


def test_device_of_the_shared_pki_is_left_behind_by_the_take_over_and_not_before(world: RegistrationWorld) -> None:
    world.register()
    assert not unclaimed(world)
    world.take_over()
    assert unclaimed(world)


def test_device_of_the_factorys_own_ca_is_nobody_elses_to_claim(world: RegistrationWorld) -> None:
    world.take_over()
    world.register()
    assert not unclaimed(world)


def test_device_that_registered_again_after_the_take_over_is_claimed(world: RegistrationWorld) -> None:
    world.register(device_csr(key=new_key()))
    world.take_over()
    world.register(device_csr(key=new_key()))
    assert not unclaimed(world)


# --- what gateways read of it ---------------------------------------------------------------------------------------


def add_factories(world: RegistrationWorld, count: int) -> None:
    for number in range(count):
        order = FactoryOrder(f"more-{number}")
        run_blocking(create_factory(order, world.keyring, now=NOW), world.database)


def shared_cas(trusts: list[FactoryTrust]) -> set[int]:
    """Identities of the CA tuples: reading the shared PKI again makes another one."""
    return {id(trust.trust.device_cas) for trust in trusts if not trust.is_taken_over}


def test_the_shared_pki_is_read_once_for_all_factories_on_it(world: RegistrationWorld) -> None:
    add_factories(world, 3)
    picture = world.read(lambda uow: read_trust(uow, POLICY))
    assert len(picture.factories) == 4
    assert len(shared_cas(list(picture.factories.values()))) == 1


def test_a_factory_taken_over_is_read_with_its_own(world: RegistrationWorld) -> None:
    add_factories(world, 1)
    ca = world.take_over()
    own = world.read(lambda uow: read_trust(uow, POLICY)).factories[world.factory.id]
    assert own.is_taken_over
    assert [trusted.certificate for trusted in own.trust.device_cas] == [ca]


def test_a_refresh_reads_the_shared_pki_once_for_the_factories_that_moved(world: RegistrationWorld) -> None:
    add_factories(world, 3)
    before = world.read(lambda uow: read_trust(uow, POLICY))
    moved = sorted(before.factories)[:2]
    for factory_id in moved:
        world.write(lambda uow, of=factory_id: uow.changes.announce(ChangeKind.TRUST, of))
    after = world.read(lambda uow: refresh_trust(uow, POLICY, before, devices_of_interest=list, is_of_interest=bool))
    assert after is not None
    assert len(shared_cas([after.picture.factories[factory_id] for factory_id in moved])) == 1
    others = set(before.factories) - set(moved)
    assert all(after.picture.factories[key] is before.factories[key] for key in others)
