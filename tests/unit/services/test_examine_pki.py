"""The backend's keys are tried by a real signature; what is wrong is said and nothing is changed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ownroot.pki.encoding import spki_sha256
from ownroot.services.backend_keys import Keyring
from ownroot.services.examine_pki import KeysInService, keys_in_service, try_key
from ownroot.services.records import SealedKeyPurpose
from ownroot.trust.possession import KeyKind
from tests.support.registering import RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def found(world: RegistrationWorld) -> KeysInService:
    return world.read(lambda uow: keys_in_service(uow, world.factory))


def faults(world: RegistrationWorld, keyring: Keyring | None = None) -> dict[KeyKind, str | None]:
    tried = [try_key(key, keyring or world.keyring) for key in found(world).keys]
    return {each.key.kind: each.fault and each.fault.code for each in tried}


def test_shared_keys_sign_and_what_they_issued_for_others_is_not_told(world: RegistrationWorld) -> None:
    assert faults(world)[KeyKind.ONLINE_CA] is None
    assert found(world).issued == {}


def test_own_online_ca_signs_and_has_issued_nothing_yet(world: RegistrationWorld) -> None:
    own = world.take_over()
    assert faults(world)[KeyKind.ONLINE_CA] is None
    assert found(world).issued == {own.serial_number: 0}


def test_key_that_is_not_stored_is_a_fault(world: RegistrationWorld) -> None:
    own = world.take_over()
    world.write(lambda uow: uow.keys.destroy(spki_sha256(own.public_key())))
    assert faults(world)[KeyKind.ONLINE_CA] == "key-missing"


def test_process_without_the_sealing_key_says_so(world: RegistrationWorld) -> None:
    world.take_over()
    assert faults(world, Keyring({}))[KeyKind.ONLINE_CA] == "key-purpose"


def test_key_of_another_certificate_is_a_fault(world: RegistrationWorld) -> None:
    world.take_over()
    (key,) = (key for key in found(world).keys if key.kind is KeyKind.ONLINE_CA)
    _, sealed = world.keyring.make(SealedKeyPurpose.CA)
    assert try_key(key, world.keyring).fault is None
    fault = try_key(replace(key, sealed=sealed), world.keyring).fault
    assert fault is not None
    assert fault.code == "key-mismatch"
