"""Registrations at an online CA whose key lies on a token, and what is left when the token does not sign."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.errors import KeyStoreError, UnavailableError
from ownroot.keystore.sealing import Sealer
from ownroot.pki.encoding import certificate_der, load_certificate_der, spki_sha256
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, SealedKeyPurpose
from ownroot.services.renew_device import RenewalRequest, Renewing, renew_device
from ownroot.services.renewal_reservations import Issued
from ownroot.services.token_keys import CaToken
from ownroot.trust.state import FactoryPki
from tests.support.certificates import csr
from tests.support.device_csrs import new_key
from tests.support.memory_token import MemoryToken
from tests.support.registering import NOW, RegistrationWorld, registration_world
from tests.support.stepping import Stepper


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


# --- renewals go the same way


def renewal(own: TokenWorld) -> Stepper[Issued]:
    """A renewal of a registered device, its factory looked up already."""
    world, renewing = own.world, Renewing(own.world.issuing.issuers)
    current = world.register().certificate
    request = RenewalRequest(
        world.factory.id,
        certificate_der(current),
        csr(new_key(), current.subject).public_bytes(Encoding.DER),
        "192.0.2.7",
    )
    stepper = Stepper(renew_device(request, renewing=renewing, now=NOW), world.database)
    stepper.step()
    return stepper


def test_a_device_renews_from_the_key_on_the_token(own: TokenWorld) -> None:
    ca = own.take_over()
    load_certificate_der(renewal(own).finish().certificate_der).verify_directly_issued_by(ca)


def test_a_token_that_does_not_sign_a_renewal_leaves_no_intent(own: TokenWorld) -> None:
    own.take_over()
    stepper = renewal(own)
    own.memory.is_away = True
    with pytest.raises(UnavailableError) as caught:
        stepper.finish()
    assert caught.value.code == "token-gone"
    assert own.world.open_intents() == []


def test_a_ca_replaced_under_the_hands_of_a_renewal_is_followed_by_the_new_one(
    own: TokenWorld, replace_ca: Callable[[], x509.Certificate]
) -> None:
    first = own.take_over()
    stepper = renewal(own)
    stepper.step()
    pki = own.world.read(lambda uow: uow.pki.load(own.world.factory.id))
    second = replace_ca()
    keep_trusted(own, pki)
    own.destroy(first)
    assert load_certificate_der(stepper.finish().certificate_der).issuer == second.subject
    assert own.world.open_intents() == []


def keep_trusted(own: TokenWorld, earlier: FactoryPki) -> None:
    """An earlier online CA goes on vouching for its devices; the world's take-over knows only the newest."""

    def store(uow: UnitOfWork) -> None:
        now = uow.pki.load(own.world.factory.id)
        old = tuple(replace(ca, signs=False) for ca in earlier.device_cas)
        uow.pki.save(own.world.factory.id, replace(now, device_cas=(*old, *now.device_cas)), by="", now=NOW)
        uow.changes.announce(ChangeKind.TRUST, own.world.factory.id)

    own.world.write(store)
