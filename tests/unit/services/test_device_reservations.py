"""Between the two commits of a registration: crashes, deletions, and a CA that loses its standing."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, RefusedError
from ownroot.pki.encoding import certificate_der, certificate_sha256
from ownroot.services.register_device import RegistrationPolicy
from ownroot.services.steps import run_blocking
from ownroot.trust.state import Standing
from tests.support.device_csrs import UUID, device_csr
from tests.support.registering import NOW, RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as opened:
        yield opened


# --- P2 and what a crash leaves -------------------------------------------------------------------------------------


def test_crash_before_the_signature_leaves_nothing_once_recovered(world: RegistrationWorld) -> None:
    world.begin().step()
    assert len(world.open_intents()) == 1
    world.recover()
    assert (world.device(), world.open_intents()) == (None, [])
    assert world.register(device_csr())  # even with another key


def test_crash_after_the_last_commit_loses_no_certificate(world: RegistrationWorld) -> None:
    csr = device_csr()
    stepper = world.begin(csr)
    stepper.step()
    stepper.step()  # committed; the answer never left
    world.recover()
    device = world.device()
    assert device is not None
    (entry,) = world.history(device)
    assert entry.certificate_der == certificate_der(world.register(csr).certificate)


def test_recovery_never_removes_a_device_that_has_a_certificate(world: RegistrationWorld) -> None:
    csr, policy = device_csr(), RegistrationPolicy(validity=timedelta(days=1))
    first = run_blocking(world.steps(csr, policy=policy), world.database)
    world.begin(csr, now=NOW + timedelta(days=2)).step()  # dies while it gets a new certificate
    world.recover()
    device = world.device()
    assert device is not None
    assert [entry.certificate_der for entry in world.history(device)] == [certificate_der(first.certificate)]


def test_recovery_leaves_alone_what_somebody_may_be_signing(world: RegistrationWorld) -> None:
    stepper = world.begin()
    stepper.step()
    world.recover(alone=False)
    assert stepper.finish()


def test_request_that_was_given_up_for_dead_does_not_come_back(world: RegistrationWorld) -> None:
    slow = world.begin()
    slow.step()
    world.recover()
    winner = world.register(device_csr())
    with pytest.raises(ConflictError) as caught:
        slow.finish()
    assert caught.value.code == "registration-superseded"
    device = world.device()
    assert device is not None
    assert [entry.certificate_der for entry in world.history(device)] == [certificate_der(winner.certificate)]


# --- what happens meanwhile -----------------------------------------------------------------------------------------


def test_device_deleted_while_its_certificate_is_signed_gets_none(world: RegistrationWorld) -> None:
    stepper = world.begin()
    stepper.step()
    world.delete()
    with pytest.raises(ConflictError) as caught:
        stepper.finish()
    assert caught.value.code == "registration-superseded"
    assert (world.device(), world.open_intents()) == (None, [])


def test_ca_disabled_while_it_signs_lets_no_certificate_out(world: RegistrationWorld) -> None:
    world.take_over()
    stepper = world.begin()
    stepper.step()
    world.set_standing(Standing.DISABLED)
    with pytest.raises(RefusedError) as caught:
        stepper.finish()
    assert caught.value.code == "online-ca-disabled"
    assert (world.device(), world.open_intents()) == (None, [])


def test_ca_replaced_while_it_signs_gives_way_to_the_new_one(world: RegistrationWorld) -> None:
    stepper = world.begin()
    stepper.step()
    ca = world.take_over()
    registered = stepper.finish()
    assert registered.issuer == ca
    device = world.device()
    assert device is not None
    assert [entry.certificate_der for entry in world.history(device)] == [certificate_der(registered.certificate)]


# --- deleted devices and taken-over factories -----------------------------------------------------------------------


def test_registration_lifts_the_denial_of_a_deleted_device_and_audits_it(world: RegistrationWorld) -> None:
    world.register()
    world.delete()
    denied = lambda: world.read(lambda uow: uow.devices.find_denied(world.factory.id, UUID))  # noqa: E731
    assert denied() is not None
    stepper = world.begin()
    stepper.step()
    assert denied() is not None  # only a certificate lifts it
    stepper.finish()
    assert denied() is None
    assert len(world.events(EventKind.DEVICE_DENIAL_LIFTED)) == 1


def test_same_key_after_a_deletion_gets_a_certificate_that_counts(world: RegistrationWorld) -> None:
    csr = device_csr()
    world.register(csr)
    world.delete()
    registered = world.register(csr)
    device = world.device()
    assert device is not None
    assert world.history(device)[0].certificate_der == certificate_der(registered.certificate)


def test_device_of_the_shared_pki_registers_with_another_key_after_take_over(world: RegistrationWorld) -> None:
    before = world.register(device_csr())
    ca = world.take_over()
    after = world.register(device_csr())
    assert (before.issuer == ca, after.issuer) == (False, ca)
    device = world.device()
    assert device is not None
    assert device.issuer_sha256 == certificate_sha256(ca)
    logged = {event.details["reason"]: event for event in world.events(EventKind.DEVICE_REGISTERED)}
    assert set(logged) == {"first", "after-take-over"}
    assert "previous-key-sha256" in logged["after-take-over"].details


def test_device_of_the_factorys_own_ca_does_not_change_its_key_so(world: RegistrationWorld) -> None:
    world.take_over()
    world.register(device_csr())
    assert world.refusal(device_csr()).code == "device-uuid-taken"


def test_device_of_the_shared_pki_gets_a_new_certificate_for_its_old_key_after_take_over(
    world: RegistrationWorld,
) -> None:
    csr = device_csr()
    world.register(csr)
    ca = world.take_over()
    assert world.register(csr).issuer == ca
    device = world.device()
    assert device is not None
    assert device.issuer_sha256 == certificate_sha256(ca)


def test_failed_registration_after_take_over_leaves_the_old_row(
    world: RegistrationWorld,
) -> None:
    world.register(device_csr())
    before = world.device()
    world.take_over()
    stepper = world.begin(device_csr())
    stepper.step()
    assert world.device() != before
    world.set_standing(Standing.DISABLED)
    with pytest.raises(RefusedError):
        stepper.finish()
    assert world.device() == before
