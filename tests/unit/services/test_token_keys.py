"""Token and database stay in step: whatever is cut off, and whoever sweeps meanwhile, between any two steps."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, KeyStoreError, UnavailableError
from ownroot.keystore.sealing import Sealer
from ownroot.pki.encoding import parse_csr, spki_sha256
from ownroot.services.backend_keys import Keyring
from ownroot.services.records import SealedKeyPurpose
from ownroot.services.request_csrs import CsrOrder, Csrs, request_csrs
from ownroot.services.steps import run_blocking
from ownroot.services.token_keys import (
    MAKING_TIME,
    CaToken,
    forget_installation_id,
    give_up_old_keys,
    settle_installation_id,
    sweep,
)
from tests.support.memory_token import MemoryToken
from tests.support.registering import NOW, RegistrationWorld, registration_world
from tests.support.stepping import Stepper

CA_CSR = CsrOrder(tls=True, online_ca=True)


@dataclass(frozen=True, slots=True)
class Server:
    """A server with a token; several may share database and token."""

    world: RegistrationWorld
    token: CaToken
    memory: MemoryToken

    @property
    def keyring(self) -> Keyring:
        return Keyring({purpose: Sealer(bytes(32)) for purpose in SealedKeyPurpose}, self.token)

    def begin(self, order: CsrOrder = CA_CSR) -> Stepper[Csrs]:
        """Ask for CSRs by hand: intent, token, row."""
        return Stepper(request_csrs(order, self.world.owner, self.keyring, now=NOW), self.world.database)

    def sweep(self) -> int:
        return run_blocking(sweep(self.token), self.world.database)

    def tidy(self, *, alone: bool = False, after: timedelta = timedelta()) -> None:
        self.world.write(lambda uow: give_up_old_keys(uow, alone=alone, now=NOW + after))

    def named(self) -> frozenset[bytes]:
        return self.world.read(lambda uow: uow.token_keys.named())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with registration_world(tmp_path) as world:
        numbers = itertools.count(1)
        memory = MemoryToken()
        token = CaToken(memory, "1" * 16, random=lambda size: next(numbers).to_bytes(size))
        yield Server(world, token, memory)


# --- making ---------------------------------------------------------------------------------------------------------


def test_the_id_is_on_record_before_the_key_is_made(server):
    asking = server.begin()
    assert (server.named(), server.memory.objects) == (frozenset(), {})
    asking.step()
    assert (len(server.named()), server.memory.objects) == (1, {})
    asking.step()
    assert server.named() == set(server.memory.objects)
    asking.finish()
    assert server.named() == set(server.memory.objects)
    assert server.world.write(lambda uow: uow.token_keys.void(before=None)) == 0


def test_the_csr_is_over_the_key_on_the_token_and_its_row_opens_it(server):
    csrs = server.begin().finish()
    public_key = parse_csr(csrs.online_ca).public_key()
    ((label, key),) = server.memory.objects.values()
    assert label == f"ownroot:{'1' * 16}:acme:online-ca"
    assert public_key == key.public_key()
    row = server.world.read(lambda uow: uow.keys.find(spki_sha256(public_key)))
    assert server.keyring.open(row).public_key() == public_key


def test_tls_keys_are_never_made_on_the_token(server):
    server.begin(CsrOrder(tls=True, est=True)).finish()
    assert (server.named(), server.memory.objects) == (frozenset(), {})


def test_a_refused_request_makes_no_key(server):
    asking = server.begin(replace(CA_CSR, first_time_init=False))
    with pytest.raises(ConflictError) as refused:
        asking.finish()
    assert refused.value.code == "pki-not-initialized"
    assert (server.named(), server.memory.objects) == (frozenset(), {})
    assert len(server.world.events(EventKind.PKI_CHANGE_REFUSED)) == 1


def test_a_request_that_comes_to_be_refused_meanwhile_leaves_an_orphan_to_the_sweep(server):
    asking = server.begin(replace(CA_CSR, first_time_init=True))
    asking.step()
    server.world.take_over()
    with pytest.raises(ConflictError) as refused:
        asking.finish()
    assert refused.value.code == "root-already-set"
    assert server.named() == frozenset()
    assert (server.sweep(), server.memory.objects) == (1, {})


def test_a_token_that_is_away_leaves_no_intent(server):
    asking = server.begin()
    asking.step()
    server.memory.is_away = True
    with pytest.raises(UnavailableError) as refused:
        asking.finish()
    assert refused.value.code == "token-gone"
    assert server.named() == frozenset()


# --- sweeping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps_before", [0, 1, 2, 3])
def test_a_sweep_of_another_server_at_any_step_takes_no_key_that_is_being_made(server, steps_before):
    other, asking = server, server.begin()
    for _ in range(steps_before):
        asking.step()
    assert other.sweep() == 0
    asking.finish()
    assert len(server.memory.objects) == 1


@pytest.mark.parametrize(("steps_before", "orphans"), [(1, 0), (2, 1), (3, 0)])
def test_a_crash_after_any_step_leaves_nothing_but_what_is_in_the_database(server, steps_before, orphans):
    asking = server.begin()
    for _ in range(steps_before):
        asking.step()
    server.tidy(alone=True)
    assert server.sweep() == orphans
    assert server.named() == set(server.memory.objects)


def test_a_sweep_that_began_before_a_key_was_made_does_not_take_it(server):
    server.memory.create(b"\xff" * 16, server.token.prefix + "orphan")
    sweeping = Stepper(sweep(server.token), server.world.database)
    sweeping.step()  # it has asked the token, and not yet the database
    server.begin().finish()
    assert sweeping.finish() == 1
    assert server.named() == set(server.memory.objects)


def test_an_intent_is_followed_for_as_long_as_a_token_may_take(server):
    asking = server.begin()
    asking.step()
    server.tidy(after=MAKING_TIME)
    assert len(server.named()) == 1
    asking.finish()


def test_a_server_that_took_too_long_loses_the_key_and_stores_no_row(server):
    asking = server.begin()
    asking.step()
    server.tidy(after=MAKING_TIME + timedelta(seconds=1))
    asking.step()
    assert server.sweep() == 1
    with pytest.raises(ConflictError) as refused:
        asking.finish()
    assert refused.value.code == "token-key-voided"
    assert (server.named(), server.memory.objects) == (frozenset(), {})


def test_keys_of_others_are_left_alone(server):
    for number, label in enumerate(("root-ca", f"ownroot:{'2' * 16}:acme:online-ca", "ownroot", "")):
        server.memory.create(bytes([number]) * 16, label)
    assert server.sweep() == 0
    assert len(server.memory.objects) == 4


def test_long_expired_pending_keys_go_without_another_request(server):
    server.begin().finish()
    server.tidy(after=timedelta(days=2) - timedelta(seconds=1))
    assert server.sweep() == 0
    server.tidy(after=timedelta(days=2))
    assert (server.sweep(), server.memory.objects) == (1, {})


def test_what_a_sweep_could_not_do_the_next_one_does(server):
    server.memory.create(b"\xff" * 16, server.token.prefix + "orphan")
    server.memory.is_away = True
    with pytest.raises(UnavailableError):
        server.sweep()
    server.memory.is_away = False
    assert (server.sweep(), server.memory.objects) == (1, {})


# --- the row --------------------------------------------------------------------------------------------------------


def sealed_ca_key(server):
    csrs = server.begin().finish()
    spki = spki_sha256(parse_csr(csrs.online_ca).public_key())
    return server.world.read(lambda uow: uow.keys.find(spki))


@pytest.mark.parametrize(
    "bent",
    [
        lambda row, other: replace(row, token_key_id=other.token_key_id),
        lambda row, other: replace(row, sealed=other.sealed, token_key_id=other.token_key_id),
        lambda row, other: replace(row, spki_sha256=other.spki_sha256),
        lambda row, _: replace(row, token_key_id=None),
        lambda row, _: replace(row, purpose=SealedKeyPurpose.GATEWAY_TLS),
    ],
    ids=["another object", "another key", "another name", "as a sealed key", "another purpose"],
)
def test_a_row_that_was_bent_opens_nothing(server, bent):
    row, other = sealed_ca_key(server), sealed_ca_key(server)
    assert server.keyring.open(row)
    with pytest.raises(KeyStoreError) as refused:
        server.keyring.open(bent(row, other))
    assert refused.value.code == "sealed-unreadable"


def test_a_sealed_key_cannot_be_made_one_on_a_token(server):
    _, row = server.keyring.make(SealedKeyPurpose.CA)
    with pytest.raises(KeyStoreError) as refused:
        server.keyring.open(replace(row, token_key_id=b"\x01" * 16))
    assert refused.value.code == "sealed-unreadable"


def test_without_a_token_the_setting_is_named(server):
    row = sealed_ca_key(server)
    without = Keyring({purpose: Sealer(bytes(32)) for purpose in SealedKeyPurpose})
    with pytest.raises(KeyStoreError) as refused:
        without.open(row)
    assert refused.value.code == "online-ca-token-missing"
    assert "[online_ca]" in refused.value.detail


def test_opening_asks_nothing_of_the_token(server):
    row = sealed_ca_key(server)
    server.memory.is_away = True
    assert spki_sha256(server.keyring.open(row).public_key()) == row.spki_sha256


def test_a_description_of_another_version_is_named(server):
    row = sealed_ca_key(server)
    binding = b"key-on-token:ca:" + row.spki_sha256
    for text in (b"{}", b"not json", b'{"id": "00", "label": "", "spki": "00"}'):
        bent = replace(row, sealed=Sealer(bytes(32)).seal(text, bound_to=binding))
        with pytest.raises(KeyStoreError) as refused:
            server.keyring.open(bent)
        assert refused.value.code == "sealed-unreadable"


# --- the installation -----------------------------------------------------------------------------------------------


def test_an_installation_keeps_its_id_until_it_becomes_another(server):
    database = server.world.database
    first = settle_installation_id(database)
    assert settle_installation_id(database) == first
    server.world.write(forget_installation_id)
    assert settle_installation_id(database) != first
