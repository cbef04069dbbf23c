"""What of a factory ends when: whose the next TUF document is, until when, and which devices no CA vouches for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.pki.names import FactoryName
from ownroot.services.forecast import TufForecast, forecast
from ownroot.services.ports import UnitOfWork
from ownroot.services.tuf_publishing import FIRST_TAG, ensure_repository
from ownroot.services.tuf_store import TagRef
from ownroot.tuf.metadata import Role, RoleKeys, new_targets
from ownroot.tuf.repository import production_documents, sign_document
from tests.support.registering import RegistrationWorld, registration_world
from tests.support.stored_values import a_device
from tests.support.tuf_world import NOW, TufOwner, ed25519_signer

OWNER = TufOwner()
ONLINE = {Role.TARGETS: OWNER.targets, Role.SNAPSHOT: OWNER.snapshot, Role.TIMESTAMP: OWNER.timestamp}
DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def tuf(world: RegistrationWorld) -> list[TufForecast]:
    return list(world.read(lambda uow: forecast(uow, world.factory, weeks=4, now=NOW)).tuf)


def make_repository(world: RegistrationWorld) -> None:
    world.write(lambda uow: ensure_repository(uow, world.factory, world.keyring, now=NOW))


def add_production(world: RegistrationWorld, *, targets_days: int) -> None:
    """A chain of its own, whose root two owners of two sign, and targets that end when the test says."""
    offline = ed25519_signer(9)
    body = OWNER.root_body(3)
    roles = {**body.roles, Role.ROOT: RoleKeys((OWNER.root.key.key_id, offline.key.key_id), 2)}
    root = replace(body, keys={**body.keys, offline.key.key_id: offline.key}, roles=roles)
    signed = sign_document(new_targets(5, NOW + targets_days * DAY, {}), offline)
    documents = production_documents(signed, ONLINE, version=8, now=NOW)

    def work(uow: UnitOfWork) -> None:
        uow.tuf.drop_key(world.factory.id, Role.ROOT, staged=False)
        document = sign_document(root.signed(), OWNER.root).encoded()
        uow.tuf.add_root(world.factory.id, 3, document, production=True)
        uow.tuf.put_documents(TagRef(world.factory.id, True, "main"), documents)

    world.write(work)


def test_a_factory_without_a_repository_has_no_tuf_documents(world: RegistrationWorld) -> None:
    bare = world.write(
        lambda uow: uow.factories.add(FactoryName("bare"), gateway_name="bare.test", is_default=False, now=NOW)
    )
    assert world.read(lambda uow: forecast(uow, bare, weeks=4, now=NOW)).tuf == ()


def test_the_server_renews_what_it_signs_and_the_root_takes_an_owner(world: RegistrationWorld) -> None:
    make_repository(world)
    found = tuf(world)
    assert [(one.role, one.tag, one.by_owner) for one in found] == [
        (Role.ROOT, "", True),
        (Role.TARGETS, FIRST_TAG, False),
        (Role.SNAPSHOT, FIRST_TAG, False),
        (Role.TIMESTAMP, FIRST_TAG, False),
    ]
    root, timestamp = found[0], found[-1]
    assert (root.version, root.keys, root.threshold, root.server_key) == (2, 1, 1, True)
    assert root.last_safe_day == (root.expires - 30 * DAY).date()
    assert timestamp.last_safe_day == (timestamp.expires - 365 * DAY / 4).date()


def test_production_has_its_own_root_and_targets_that_owners_sign(world: RegistrationWorld) -> None:
    make_repository(world)
    add_production(world, targets_days=40)
    root, targets, snapshot, timestamp = (one for one in tuf(world) if one.production)
    assert (root.version, root.keys, root.threshold, root.server_key) == (3, 2, 2, False)
    assert (targets.version, targets.by_owner) == (5, True)
    assert targets.last_safe_day == (NOW + 10 * DAY).date()
    assert (snapshot.by_owner, timestamp.by_owner) == (False, False)
    assert timestamp.last_safe_day == (NOW + 7 * DAY * 3 / 4).date()


def test_devices_of_a_ca_that_counts_no_more_are_in_one_number(world: RegistrationWorld) -> None:
    own = world.take_over()
    ends = NOW + 5 * DAY

    def work(uow: UnitOfWork) -> None:
        uow.devices.add(a_device(world.factory, "known", issuer_serial=own.serial_number, not_after=ends))
        uow.devices.add(a_device(world.factory, "of-another", issuer_serial=7, not_after=ends))

    world.write(work)
    found = world.read(lambda uow: forecast(uow, world.factory, weeks=4, now=NOW))
    (ca,) = found.cas
    assert ca.serial == own.serial_number
    assert [ending.devices for _, ending in ca.ends.weeks] == [1]
    assert found.without_ca == 1
