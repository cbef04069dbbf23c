"""A token for one device, between the commits of its registration: what it is spent on survives a crash and no more."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.services.authenticate import authenticate
from ownroot.services.authorize_registration import ask_to_register, decide, redeem_code
from ownroot.services.steps import run_blocking
from tests.support.device_csrs import UUID, device_csr, new_key
from tests.support.registering import NOW, RegistrationWorld, new_keyring, registration_world
from tests.support.witness_key import WitnessKey, WitnessKeyring


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    """A backend seen by a device that holds a token for itself."""
    with registration_world(tmp_path) as opened:
        yield with_pass(opened)


def with_pass(world: RegistrationWorld) -> RegistrationWorld:
    asked = run_blocking(ask_to_register(UUID, "acme:devices:create", peer="192.0.2.1", now=NOW), world.database)
    run_blocking(decide(world.owner.user, asked.user_code, allow=True, peer="192.0.2.2", now=NOW), world.database)
    token = run_blocking(redeem_code(asked.device_code, UUID, now=NOW), world.database).token
    return replace(world, owner=world.read(lambda uow: authenticate(uow, token, now=NOW)).principal)


def test_token_is_spent_by_the_reservation_and_a_crash_after_it_leaves_the_same_key_its_way(world):
    csr = device_csr(key=new_key())
    world.begin(csr).step()
    world.recover()
    assert world.device() is None
    assert world.refusal(device_csr()).code == "token-spent"
    assert world.register(csr)


def test_repeat_after_the_last_commit_gets_the_same_certificate(world):
    csr = device_csr(key=new_key())
    stepper = world.begin(csr)
    registered = stepper.finish()
    assert world.register(csr).certificate == registered.certificate


def test_refusal_undoes_the_spending_with_everything_else(world):
    other = with_pass(world)
    taken = replace(other, owner=replace(other.owner, device_pass=None))
    taken.register(device_csr("another"), name="name")
    assert world.refusal(name="name").code == "device-name-taken"
    assert world.register(device_csr())


def test_other_device_is_refused_and_audited_before_anything_is_stored(world):
    error = world.refusal(device_csr("another"))
    assert error.code == "token-other-device"
    assert world.device("another") is None
    (event,) = world.events(EventKind.DEVICE_REGISTRATION_REFUSED)
    assert (event.subject, event.details["code"]) == ("another", "token-other-device")


def test_letter_case_makes_another_device(world):
    assert world.refusal(device_csr(UUID.upper().replace("1", "a"))).code == "token-other-device"


def test_key_store_that_fails_leaves_the_token_to_the_same_key(tmp_path):
    keyring = WitnessKeyring(new_keyring())
    with registration_world(tmp_path, keyring=keyring) as opened:
        opened.register(device_csr("warm-up"))
        key: WitnessKey = keyring.last
        key.world = opened
        world = with_pass(opened)
        csr = device_csr(key=new_key())
        key.fails = True
        assert world.refusal(csr).code == "token-gone"
        key.fails = False
        assert world.refusal(device_csr()).code == "token-spent"
        assert world.register(csr)
