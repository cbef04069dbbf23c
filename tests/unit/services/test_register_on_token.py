"""Registrations at an online CA whose key lies on a token, and what is left when the token does not sign."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from ownroot.errors import KeyStoreError, UnavailableError
from ownroot.keystore.sealing import Sealer
from ownroot.pki.encoding import spki_sha256
from ownroot.services.backend_keys import Keyring
from ownroot.services.records import SealedKeyPurpose
from ownroot.services.token_keys import CaToken
from tests.support.memory_token import MemoryToken
from tests.support.registering import RegistrationWorld, registration_world


@dataclass(frozen=True, slots=True)
class TokenWorld:
    """A factory whose online CA key is on a token."""

    world: RegistrationWorld
    token: CaToken
    memory: MemoryToken

    def take_over(self) -> x509.Certificate:
        key = self.token.create(self.token.new_key_id(), self.world.factory.name)
        row = self.world.keyring.seal_description(SealedKeyPurpose.CA, key)
        return self.world.take_over((self.token.open(key), row))

    def destroy(self, ca: x509.Certificate) -> None:
        spki = spki_sha256(ca.public_key())
        row = self.world.read(lambda uow: uow.keys.find(spki))
        self.memory.destroy(row.token_key_id, "")
        self.world.write(lambda uow: uow.keys.destroy(spki))

    def assert_nothing_is_left(self) -> None:
        assert self.world.device() is None
        assert self.world.open_intents() == []


@pytest.fixture
def own(tmp_path: Path) -> Iterator[TokenWorld]:
    numbers, memory = itertools.count(1), MemoryToken()
    token = CaToken(memory, "1" * 16, random=lambda size: next(numbers).to_bytes(size))
    keyring = Keyring({purpose: Sealer(bytes(32)) for purpose in SealedKeyPurpose}, token)
    with registration_world(tmp_path, keyring=keyring) as world:
        yield TokenWorld(world, token, memory)


def test_a_device_gets_its_certificate_from_the_key_on_the_token(own: TokenWorld) -> None:
    ca = own.take_over()
    registered = own.world.register()
    assert registered.issuer == ca
    registered.certificate.verify_directly_issued_by(ca)


def test_the_reservation_asks_nothing_of_the_token(own: TokenWorld) -> None:
    own.take_over()
    registration = own.world.begin()
    own.memory.is_away = True
    registration.step()
    assert len(own.world.open_intents()) == 1
    own.memory.is_away = False
    registration.finish()


@pytest.mark.parametrize("pull", ["away", "gone"])
def test_a_token_that_does_not_sign_leaves_nothing_behind(own: TokenWorld, pull: str) -> None:
    own.take_over()
    if pull == "away":
        own.memory.is_away = True
    else:
        own.memory.objects.clear()
    error = own.world.refusal()
    expected: tuple[type[Exception], str] = (UnavailableError, "token-gone")
    assert (type(error), error.code) == (expected if pull == "away" else (KeyStoreError, "key-gone"))
    own.assert_nothing_is_left()


@pytest.fixture(params=["sealed", "on the token"])
def replace_ca(own: TokenWorld, request: pytest.FixtureRequest) -> Callable[[], x509.Certificate]:
    return own.take_over if request.param == "on the token" else own.world.take_over


def test_a_ca_replaced_under_the_hands_of_a_signer_is_followed_by_the_new_one(
    own: TokenWorld, replace_ca: Callable[[], x509.Certificate]
) -> None:
    first = own.take_over()
    registration = own.world.begin()
    registration.step()
    second = replace_ca()
    own.destroy(first)
    assert registration.finish().issuer == second
    assert own.world.open_intents() == []
