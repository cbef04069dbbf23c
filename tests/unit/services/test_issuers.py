"""Who issues for a factory: the answer is remembered until trust moves, and not a commit longer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.errors import KeyStoreError, RefusedError
from ownroot.pki.encoding import spki_sha256
from ownroot.services.backend_keys import Keyring
from ownroot.services.issuers import OnlineIssuer, OnlineIssuers
from ownroot.trust.state import Standing
from tests.support.registering import RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


@pytest.fixture
def issuers(world: RegistrationWorld) -> OnlineIssuers:
    return OnlineIssuers(world.keyring)


def current(world: RegistrationWorld, issuers: OnlineIssuers) -> OnlineIssuer:
    return world.read(lambda uow: issuers.current(uow, world.factory))


def test_before_take_over_the_shared_ca_issues_and_afterwards_the_factorys_own(world, issuers):
    assert current(world, issuers).shared
    own = world.take_over()
    found = current(world, issuers)
    assert (found.shared, found.ca.certificate) == (False, own)


def test_the_key_is_opened_once_per_trust_generation(world, issuers, monkeypatch):
    opened = []
    open_key = Keyring.open
    monkeypatch.setattr(Keyring, "open", lambda ring, sealed: opened.append(1) or open_key(ring, sealed))
    assert current(world, issuers) is current(world, issuers)
    world.take_over()
    current(world, issuers)
    assert len(opened) == 2


def test_a_disabled_ca_issues_nothing_from_the_commit_that_disables_it(world, issuers):
    world.take_over()
    assert current(world, issuers)
    world.set_standing(Standing.DISABLED)
    with pytest.raises(RefusedError) as refusal:
        current(world, issuers)
    assert refusal.value.code == "online-ca-disabled"
    world.set_standing(Standing.ENABLED)
    assert current(world, issuers)


def test_without_its_key_a_ca_issues_nothing(world, issuers):
    own = world.take_over()
    world.write(lambda uow: uow.keys.destroy(spki_sha256(own.public_key())))
    with pytest.raises(KeyStoreError) as refusal:
        current(world, issuers)
    assert refusal.value.code == "issuer-key-missing"
