"""Between the commits of a renewal: crashes, deletions, rivals, and a CA that loses its standing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError, UnavailableError
from ownroot.pki.encoding import certificate_der, load_certificate_der, spki_sha256
from ownroot.services.manage_devices import DeviceRef
from ownroot.services.next_keys import cancel_rotation
from ownroot.services.recover_issuances import recover_issuances
from ownroot.services.recovery_policy import set_recovery_policy
from ownroot.services.register_device import RegistrationPolicy
from ownroot.services.renew_device import RenewalRequest, Renewing, renew_device
from ownroot.services.renewal_reservations import Issued
from ownroot.services.steps import Steps, run_blocking
from ownroot.trust.state import Standing
from tests.support.certificates import csr
from tests.support.device_csrs import UUID, device_csr, new_key
from tests.support.registering import NOW, RegistrationWorld, registration_world
from tests.support.stepping import Stepper


@dataclass(slots=True)
class Renewer:
    """A registered device that renews, and the desk it asks."""

    world: RegistrationWorld
    renewing: Renewing
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def request(self, key: ec.EllipticCurvePrivateKey | None = None) -> RenewalRequest:
        asked = csr(key or self.key, self.certificate.subject).public_bytes(Encoding.DER)
        return RenewalRequest(self.world.factory.id, certificate_der(self.certificate), asked, "192.0.2.7")

    def steps(self, *, now: datetime = NOW, key: ec.EllipticCurvePrivateKey | None = None) -> Steps[Issued]:
        return renew_device(self.request(key), renewing=self.renewing, now=now)

    def begin(self, **asked: Any) -> Stepper[Issued]:
        """Renew by hand. The first renewal of a factory looks it up before anything else."""
        if self.world.factory.id not in self.renewing.views:
            run_blocking(self.steps(key=new_key()), self.world.database)
        return Stepper(self.steps(**asked), self.world.database)

    def renew(self, **asked: Any) -> x509.Certificate:
        return load_certificate_der(run_blocking(self.steps(**asked), self.world.database).certificate_der)

    def refusal(self, **asked: Any) -> OwnrootError:
        with pytest.raises(OwnrootError) as caught:
            run_blocking(self.steps(**asked), self.world.database)
        return caught.value

    def recorded(self) -> list[bytes]:
        """The certificates on record for the new key."""
        key = spki_sha256(self.key.public_key())
        history = self.world.read(lambda uow: uow.issuances.history(self.world.factory.id, UUID, key))
        return [entry.certificate_der for entry in history if entry.certificate_der is not None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as opened:
        yield opened


@pytest.fixture
def renewer(world: RegistrationWorld) -> Renewer:
    registered = world.register(device_csr())
    return Renewer(world, Renewing(world.issuing.issuers), registered.certificate, new_key())


# --- killed at each step


def test_killed_before_the_signature_nothing_is_left_and_the_device_asks_again(renewer: Renewer) -> None:
    renewer.begin().step()
    assert len(renewer.world.open_intents()) == 1
    renewer.world.recover()
    assert renewer.world.open_intents() == []
    assert renewer.world.device() is not None
    assert renewer.recorded() == []
    assert [certificate_der(renewer.renew())] == renewer.recorded()


def test_killed_after_the_certificate_was_recorded_the_device_gets_it_when_it_asks_again(renewer: Renewer) -> None:
    stepper = renewer.begin()
    stepper.step()
    stepper.step()  # committed; the answer never left
    renewer.world.recover()
    assert [certificate_der(renewer.renew())] == renewer.recorded()


def test_a_killed_renewal_with_the_same_key_never_costs_the_device_its_row(renewer: Renewer) -> None:
    """Recovery gives back what a first registration reserved; a renewal reserves nothing."""
    pinned = new_key()
    renewer.world.delete()
    renewer.world.write(lambda uow: uow.devices.lift_denial(renewer.world.factory.id, UUID))
    renewer.certificate, renewer.key = renewer.world.register(device_csr(key=pinned)).certificate, pinned
    renewer.begin().step()
    renewer.world.recover()
    assert renewer.world.device() is not None


def test_what_is_being_signed_is_left_alone_beside_a_running_server(renewer: Renewer) -> None:
    stepper = renewer.begin()
    stepper.step()
    renewer.world.recover(alone=False)
    assert load_certificate_der(stepper.finish().certificate_der).public_key() == renewer.key.public_key()


def test_a_renewal_that_was_given_up_for_dead_is_told_to_come_again(renewer: Renewer) -> None:
    slow = renewer.begin()
    slow.step()
    renewer.world.write(lambda uow: recover_issuances(uow, alone=False, now=NOW + timedelta(minutes=3)))
    with pytest.raises(UnavailableError) as caught:
        slow.finish()
    assert caught.value.code == "renewal-superseded"
    assert renewer.recorded() == []


# --- others at the same time


def test_of_two_equal_requests_at_once_both_get_the_quicker_ones_certificate(renewer: Renewer) -> None:
    slow, quick = renewer.begin(), renewer.begin()
    slow.step()
    quick.step()
    assert quick.finish() == slow.finish()
    assert len(renewer.recorded()) == 1
    assert renewer.world.open_intents() == []


def test_a_device_that_is_deleted_while_its_certificate_is_signed_gets_none(renewer: Renewer) -> None:
    stepper = renewer.begin()
    stepper.step()
    renewer.world.delete()
    with pytest.raises(RefusedError) as caught:
        stepper.finish()
    assert caught.value.code == "device-denied"
    assert (renewer.recorded(), renewer.world.open_intents()) == ([], [])


def test_an_online_ca_that_is_replaced_while_it_signs_signs_nothing(renewer: Renewer) -> None:
    renewer.world.take_over()
    registered = renewer.world.register(device_csr(key=new_key()))
    renewer.certificate = registered.certificate
    stepper = renewer.begin()
    stepper.step()
    renewer.world.set_standing(Standing.DISABLED)
    with pytest.raises(UnavailableError) as caught:
        stepper.finish()
    assert caught.value.code == "renewals-no-issuer"
    assert (renewer.recorded(), renewer.world.open_intents()) == ([], [])


def test_trust_that_moved_since_it_was_last_looked_at_is_looked_at_again(renewer: Renewer) -> None:
    renewer.renew()
    renewer.world.take_over()
    assert renewer.refusal().code == "device-ca-unknown"
    renewer.certificate = renewer.world.register(device_csr(key=new_key())).certificate
    renewer.key = new_key()
    assert renewer.renew().issuer == renewer.certificate.issuer


def test_a_device_of_a_ca_that_is_newer_than_what_the_desk_remembers_renews_at_once(renewer: Renewer) -> None:
    renewer.renew()
    ca = renewer.world.take_over()
    renewer.certificate, renewer.key = renewer.world.register(device_csr(key=new_key())).certificate, new_key()
    renewer.renew().verify_directly_issued_by(ca)


# --- which certificate answers a repeated request


def test_a_certificate_due_for_renewal_itself_is_not_handed_out_again(renewer: Renewer) -> None:
    first = renewer.renew()
    assert renewer.renew(now=NOW + timedelta(days=700)) == first
    assert renewer.renew(now=NOW + timedelta(days=800)) != first


def test_a_key_store_that_fails_leaves_nothing_behind(renewer: Renewer) -> None:
    stepper = renewer.begin()
    stepper.step()
    view = renewer.renewing.views[renewer.world.factory.id]

    class Broken:
        def current(self, _uow: object, _factory: object) -> object:
            raise KeyStoreError("token-gone", "The token is gone.")

    renewing = replace(renewer.renewing, issuers=Broken(), views={renewer.world.factory.id: view})  # type: ignore[arg-type]
    steps = renew_device(renewer.request(new_key()), renewing=renewing, now=NOW)
    with pytest.raises(KeyStoreError):
        run_blocking(steps, renewer.world.database)
    assert len(renewer.world.open_intents()) == 1  # the other one's, which goes on
    stepper.finish()


# --- what is in the audit log


def test_a_renewal_and_a_refused_one_are_in_the_log(renewer: Renewer) -> None:
    renewer.renew()
    (event,) = renewer.world.events(EventKind.DEVICE_RENEWED)
    assert (event.actor, event.subject) == (f"device:{UUID}", UUID)
    assert set(event.details) == {"serial", "replaces-serial", "issuer-sha256", "key-sha256", "request-sha256"}
    weak = ec.generate_private_key(ec.SECP256K1())
    assert renewer.refusal(key=weak).code == "csr-weak-key"
    (refused,) = renewer.world.events(EventKind.DEVICE_RENEWAL_REFUSED)
    assert (refused.details["code"], refused.details["peer"]) == ("csr-weak-key", "192.0.2.7")


def test_same_refusal_again_is_one_line_an_hour_and_another_one_is_its_own(renewer: Renewer) -> None:
    renewer.renew()
    weak = ec.generate_private_key(ec.SECP256K1())
    for _ in range(3):
        assert renewer.refusal(key=weak).code == "csr-weak-key"
    assert len(renewer.world.events(EventKind.DEVICE_RENEWAL_REFUSED)) == 1
    assert renewer.refusal(key=weak, now=NOW + timedelta(hours=1)).code == "csr-weak-key"
    codes = [event.details["code"] for event in renewer.world.events(EventKind.DEVICE_RENEWAL_REFUSED)]
    assert codes == ["csr-weak-key"] * 2


def test_what_is_no_device_of_the_factory_leaves_nothing_in_the_log(renewer: Renewer) -> None:
    renewer.renew()
    request = RenewalRequest(renewer.world.factory.id, b"0\x00", b"0\x00", "192.0.2.9")
    with pytest.raises(RefusedError):
        run_blocking(renew_device(request, renewing=renewer.renewing, now=NOW), renewer.world.database)
    assert renewer.world.events(EventKind.DEVICE_RENEWAL_REFUSED) == []


def test_a_factory_that_is_not_there_is_refused(renewer: Renewer) -> None:
    request = replace(renewer.request(), factory_id=999)
    with pytest.raises(RefusedError) as caught:
        run_blocking(renew_device(request, renewing=renewer.renewing, now=NOW), renewer.world.database)
    assert caught.value.code == "factory-unknown"


# --- the recovery lane


def late(renewer: Renewer) -> datetime:
    """Five days after the certificate ended; the shared CA lives on, since it is older than no device."""
    return renewer.certificate.not_valid_after_utc + timedelta(days=5)


@pytest.mark.parametrize(("days", "code"), [(0, "recovery-not-allowed"), (4, "recovery-too-late")])
def test_an_expired_certificate_is_refused_by_the_owners_policy(world: RegistrationWorld, days: int, code: str) -> None:
    renewer = expired_soon(world)
    world.write(lambda uow: set_recovery_policy(uow, days, by=world.owner, now=NOW))
    assert renewer.refusal(now=late(renewer)).code == code


def test_an_expired_certificate_renews_and_its_key_is_announced_with_it(world: RegistrationWorld) -> None:
    renewer = expired_soon(world)
    world.write(lambda uow: set_recovery_policy(uow, 5, by=world.owner, now=NOW))
    renewer.renew(now=late(renewer))
    device = world.device()
    assert device is not None
    assert device.next_spki_sha256 == spki_sha256(renewer.key.public_key())
    (event,) = world.events(EventKind.DEVICE_RENEWED)
    assert event.details["expired-days"] == "5"


def test_a_certificate_that_an_expired_device_gets_again_has_its_key_announced_again(world: RegistrationWorld) -> None:
    renewer = expired_soon(world)
    world.write(lambda uow: set_recovery_policy(uow, 5, by=world.owner, now=NOW))
    key, other = new_key(), new_key()
    first = renewer.renew(now=late(renewer), key=key)
    ref = DeviceRef(UUID, is_uuid=True)
    world.write(lambda uow: cancel_rotation(uow, ref, by=world.owner, now=NOW))
    assert renewer.renew(now=late(renewer), key=key) == first
    assert announced(world) == spki_sha256(key.public_key())

    renewer.renew(now=late(renewer), key=other)
    assert announced(world) == spki_sha256(other.public_key())
    assert renewer.renew(now=late(renewer), key=key) == first
    assert announced(world) == spki_sha256(key.public_key())


def announced(world: RegistrationWorld) -> bytes | None:
    device = world.device()
    assert device is not None
    return device.next_spki_sha256


def test_how_long_is_a_number_of_days(world: RegistrationWorld) -> None:
    for days in (-1, 3651):
        with pytest.raises(InvalidInputError) as caught:
            world.write(lambda uow, days=days: set_recovery_policy(uow, days, by=world.owner, now=NOW))
        assert caught.value.code == "recovery-days"


def expired_soon(world: RegistrationWorld) -> Renewer:
    policy = RegistrationPolicy(validity=timedelta(days=10))
    registered = run_blocking(world.steps(device_csr(), policy=policy), world.database)
    return Renewer(world, Renewing(world.issuing.issuers), registered.certificate, new_key())
