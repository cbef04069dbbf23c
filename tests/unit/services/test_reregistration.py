"""Another key for a known uuid: refused, or let in by the operator's choice; a device is never left without a key."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError
from ownroot.pki.encoding import spki_sha256
from ownroot.services.device_reservations import Registered
from ownroot.services.records import CheckIn, Device
from ownroot.services.register_device import RegistrationPolicy
from ownroot.services.reregistration import Reregistration
from ownroot.services.steps import run_blocking
from tests.support.device_csrs import device_csr
from tests.support.registering import NOW, RegistrationWorld, registration_world
from tests.support.stepping import Stepper

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as opened:
        opened.register(device_csr(), name="pump")
        yield opened


def known(world: RegistrationWorld) -> Device:
    device = world.device()
    assert device is not None
    return device


def under(reregister: Reregistration) -> RegistrationPolicy:
    return RegistrationPolicy(reregister=reregister)


def begin(world: RegistrationWorld, reregister: Reregistration, csr: str | None = None) -> Stepper[Registered]:
    """Begin a registration with another key and commit its reservation."""
    stepper = Stepper(world.steps(csr or device_csr(), policy=under(reregister)), world.database)
    stepper.step()
    return stepper


def refusal_of(stepper: Stepper[Registered]) -> str:
    with pytest.raises(ConflictError) as refused:
        stepper.finish()
    return refused.value.code


def see(world: RegistrationWorld) -> None:
    """Let the gateway see the device."""
    visit = CheckIn(world.factory.id, known(world).uuid, LATER)
    world.write(lambda uow: uow.devices.record_check_ins([visit]))


@pytest.mark.parametrize("choice", [Reregistration.IF_NEVER_SEEN, Reregistration.REPLACE])
def test_board_whose_answer_got_lost_registers_again_with_another_key(
    world: RegistrationWorld, choice: Reregistration
) -> None:
    before = known(world)
    run_blocking(world.steps(device_csr(), policy=under(choice)), world.database)
    after = known(world)
    assert after.spki_sha256 != before.spki_sha256
    assert (after.name, after.owner, after.created_at) == (before.name, before.owner, before.created_at)
    logged = {event.details["reason"]: event.details for event in world.events(EventKind.DEVICE_REGISTERED)}
    assert set(logged) == {"first", "key-replaced"}
    assert logged["key-replaced"]["previous-key-sha256"] == before.spki_sha256.hex()


def test_it_is_refused_by_default(world: RegistrationWorld) -> None:
    before = known(world)
    assert world.refusal(device_csr()).code == "device-uuid-taken"
    assert known(world) == before


@pytest.mark.parametrize(("choice", "lets_in"), [(Reregistration.IF_NEVER_SEEN, False), (Reregistration.REPLACE, True)])
def test_device_that_was_seen_gives_way_to_replace_alone(
    world: RegistrationWorld, choice: Reregistration, lets_in: bool
) -> None:
    see(world)
    before = known(world)
    if lets_in:
        run_blocking(world.steps(device_csr(), policy=under(choice)), world.database)
    else:
        assert world.refusal(device_csr(), policy=under(choice)).code == "device-uuid-taken"
    assert (known(world).spki_sha256 != before.spki_sha256) is lets_in


# --- between the commits ----------------------------------------------------------------------------------------


def test_key_goes_on_until_the_new_certificate_is_there_and_a_crash_leaves_it(world: RegistrationWorld) -> None:
    before = known(world)
    begin(world, Reregistration.REPLACE)
    assert known(world) == before
    world.recover()
    assert known(world) == before
    assert world.open_intents() == []


def test_device_seen_while_its_replacement_was_signed_keeps_its_key(world: RegistrationWorld) -> None:
    stepper = begin(world, Reregistration.IF_NEVER_SEEN)
    see(world)
    before = known(world)
    assert refusal_of(stepper) == "device-uuid-taken"
    assert known(world) == before
    assert world.open_intents() == []


def test_of_two_new_keys_the_first_to_finish_stays(world: RegistrationWorld) -> None:
    slow, quick = begin(world, Reregistration.REPLACE), begin(world, Reregistration.REPLACE)
    certificate = quick.finish().certificate
    assert refusal_of(slow) == "registration-superseded"
    assert spki_sha256(certificate.public_key()) == known(world).spki_sha256
    assert world.open_intents() == []


def test_twin_of_the_same_request_gets_the_same_certificate(world: RegistrationWorld) -> None:
    csr = device_csr()
    slow, quick = begin(world, Reregistration.REPLACE, csr), begin(world, Reregistration.REPLACE, csr)
    assert quick.finish().certificate == slow.finish().certificate
    assert world.open_intents() == []


def test_device_deleted_while_its_replacement_was_signed_stays_deleted(world: RegistrationWorld) -> None:
    stepper = begin(world, Reregistration.REPLACE)
    world.delete()
    assert refusal_of(stepper) == "registration-superseded"
    assert world.device() is None
    assert world.open_intents() == []
