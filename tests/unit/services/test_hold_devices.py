"""After a restore, a certificate that nobody remembers waits for the owner; before one, nothing does."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.pki.encoding import certificate_der
from ownroot.services.authorize_device import Denied, NeedsWrite
from ownroot.services.manage_devices import lift_denial
from ownroot.trust.state import Standing
from tests.support.device_csrs import UUID, device_csr, new_key
from tests.support.held import accept, forgotten, note_restore, refuse, visitor
from tests.support.registering import NOW, RegistrationWorld, registration_world

OTHER = "99999999-2222-4333-8444-555555555555"
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as opened:
        yield opened


@pytest.fixture
def restored(world: RegistrationWorld) -> RegistrationWorld:
    note_restore(world)
    return world


# --- who is held


def test_without_a_restore_it_is_a_first_contact_as_ever(world: RegistrationWorld) -> None:
    assert forgotten(world).visit() == "ok"
    assert world.device() is not None


def test_after_a_restore_it_is_held_and_not_created(restored: RegistrationWorld) -> None:
    device = forgotten(restored)
    assert device.visit() == "device-held-for-review"
    assert restored.device() is None
    (entry,) = device.entries()
    assert (entry.certificate_der, entry.spki_sha256, entry.refused_at) == (device.der, device.spki_sha256, None)
    assert [event.actor for event in restored.events(EventKind.DEVICE_HELD)] == [f"device:{UUID}"]


def test_a_device_registered_after_the_restore_is_not_held_though_its_row_is_gone(restored: RegistrationWorld) -> None:
    registered = restored.register()
    restored.delete()
    restored.write(lambda uow: lift_denial(uow, UUID, by=restored.owner, now=NOW))
    assert visitor(restored, certificate_der(registered.certificate)).visit() == "ok"


def test_another_certificate_of_the_same_uuid_and_key_is_not_the_one_in_the_log(world: RegistrationWorld) -> None:
    key = new_key()
    registered = world.register(device_csr(key=key))
    world.delete()
    world.write(lambda uow: lift_denial(uow, UUID, by=world.owner, now=NOW))
    note_restore(world)
    assert forgotten(world, key=key).visit() == "device-held-for-review"
    assert visitor(world, certificate_der(registered.certificate)).visit() == "ok"


def test_an_intent_in_the_log_is_no_certificate(restored: RegistrationWorld) -> None:
    """The backup may hold the intent alone, and the certificate have left a moment later."""
    key = new_key()
    restored.begin(device_csr(key=key)).step()
    restored.recover()
    assert forgotten(restored, key=key).visit() == "device-held-for-review"


def test_a_known_device_with_its_key_goes_on_with_a_certificate_nobody_remembers(restored: RegistrationWorld) -> None:
    key = new_key()
    restored.register(device_csr(key=key))
    assert forgotten(restored, key=key).visit() == "ok"


def test_a_known_device_that_renewed_meanwhile_is_held_and_the_old_key_goes_on(world: RegistrationWorld) -> None:
    old = visitor(world, certificate_der(world.register().certificate))
    assert forgotten(world).visit() == "device-key-mismatch"
    note_restore(world)
    assert forgotten(world).visit() == "device-held-for-review"
    assert old.visit() == "ok"


def test_a_deleted_device_is_refused_as_deleted_and_not_held(restored: RegistrationWorld) -> None:
    restored.register()
    restored.delete()
    device = forgotten(restored)
    assert device.visit() == "device-denied"
    assert device.entries() == []


# --- how often it is written


def test_a_held_device_that_comes_back_is_answered_by_reading_alone_for_an_hour(restored: RegistrationWorld) -> None:
    device = forgotten(restored)
    device.visit()
    assert isinstance(device.looked_up(NOW + HOUR - SECOND), Denied)
    assert isinstance(device.looked_up(NOW + HOUR), NeedsWrite)
    assert device.visit(NOW + HOUR) == "device-held-for-review"
    (entry,) = device.entries()
    assert (entry.first_at, entry.last_at) == (NOW, NOW + HOUR)
    assert len(restored.events(EventKind.DEVICE_HELD)) == 1


# --- accepting


def test_an_accepted_device_is_the_one_its_first_contact_would_have_made(restored: RegistrationWorld) -> None:
    device, plain = forgotten(restored), forgotten(restored, OTHER)
    device.visit()
    assert accept(restored, device.key) == ["ok"]
    assert device.visit() == "ok"
    assert device.entries() == []
    made = restored.device()
    assert made is not None
    issuer = plain.caller().identified.issuer
    assert (made.name, made.owner, made.spki_sha256) == (UUID, issuer.owner_of_new_devices, device.spki_sha256)
    assert (made.created_at, made.last_seen, made.production) == (NOW, NOW, False)
    (event,) = restored.events(EventKind.DEVICE_HOLD_ACCEPTED)
    assert (event.actor, event.subject) == (restored.owner.user.polis_id, UUID)


def test_accepting_tells_the_gateways(restored: RegistrationWorld) -> None:
    device = forgotten(restored)
    device.visit()
    before = restored.read(lambda uow: uow.changes.generation())
    accept(restored, device.key)
    changes = restored.read(lambda uow: uow.changes.since(before))
    assert changes is not None
    assert [change.uuid for change in changes] == [UUID]


def test_accepting_again_changes_nothing(restored: RegistrationWorld) -> None:
    device = forgotten(restored)
    device.visit()
    assert accept(restored, device.key) == ["ok"]
    assert accept(restored, device.key, device.key) == ["ok", "ok"]
    assert len(restored.events(EventKind.DEVICE_HOLD_ACCEPTED)) == 1


def test_accepting_the_new_key_of_a_known_device_ends_the_old_one(restored: RegistrationWorld) -> None:
    old = visitor(restored, certificate_der(restored.register(name="line-1").certificate))
    renewed = forgotten(restored)
    renewed.visit()
    assert accept(restored, renewed.key) == ["ok"]
    assert renewed.visit() == "ok"
    assert old.visit() == "device-key-replaced"
    device = restored.device()
    assert device is not None
    assert device.name == "line-1"
    (event,) = restored.events(EventKind.DEVICE_HOLD_ACCEPTED)
    assert event.details["old"] == old.spki_sha256.hex()


def test_nobody_is_accepted_who_is_not_held(restored: RegistrationWorld) -> None:
    assert accept(restored, forgotten(restored).key) == ["held-unknown"]


def test_of_two_keys_for_one_uuid_none_is_accepted_until_one_is_refused(restored: RegistrationWorld) -> None:
    right, wrong = forgotten(restored), forgotten(restored)
    right.visit()
    wrong.visit()
    assert accept(restored, right.key, wrong.key) == ["held-rival-key", "held-rival-key"]
    assert restored.device() is None
    assert refuse(restored, wrong.key) == ["ok"]
    assert accept(restored, right.key) == ["ok"]
    assert (right.visit(), wrong.visit()) == ("ok", "device-held-refused")


def test_a_ca_that_was_disabled_since_admits_none_of_its_held_devices(restored: RegistrationWorld) -> None:
    restored.take_over()
    known = visitor(restored, certificate_der(restored.register().certificate))
    new, renewed = forgotten(restored, OTHER), forgotten(restored)
    new.visit()
    renewed.visit()
    restored.set_standing(Standing.DISABLED)
    assert accept(restored, new.key, renewed.key) == ["device-ca-disabled", "device-ca-disabled"]
    restored.set_standing(Standing.ENABLED)
    assert accept(restored, new.key, renewed.key) == ["ok", "ok"]
    assert known.visit() == "device-key-replaced"


def test_a_ca_that_is_trusted_no_more_admits_none_of_its_held_devices(restored: RegistrationWorld) -> None:
    device = forgotten(restored)
    device.visit()
    restored.take_over()
    assert accept(restored, device.key) == ["device-ca-unknown"]
    assert len(device.entries()) == 1


def test_a_key_that_became_another_devices_hinders_itself_alone(restored: RegistrationWorld) -> None:
    key = new_key()
    clone, other = forgotten(restored, key=key), forgotten(restored, OTHER)
    clone.visit()
    other.visit()
    restored.register(device_csr("dev-3", key=key))
    assert accept(restored, clone.key, other.key) == ["device-key-taken", "ok"]


# --- refusing


def test_a_refused_unreregister_is_on_the_deny_list(restored: RegistrationWorld) -> None:
    device = forgotten(restored)
    device.visit()
    assert refuse(restored, device.key) == ["ok"]
    assert device.visit() == "device-denied"
    assert device.entries() == []
    denied = restored.read(lambda uow: uow.devices.find_denied(restored.factory.id, UUID))
    assert denied is not None
    assert denied.denied_by == restored.owner.user.polis_id


def test_a_refused_key_of_a_known_device_stays_refused_while_the_device_goes_on(restored: RegistrationWorld) -> None:
    known = visitor(restored, certificate_der(restored.register().certificate))
    clone = forgotten(restored)
    clone.visit()
    assert refuse(restored, clone.key) == ["ok"]
    assert (clone.visit(), clone.visit(NOW + 9 * HOUR)) == ("device-held-refused", "device-held-refused")
    assert accept(restored, clone.key) == ["device-held-refused"]
    assert known.visit() == "ok"


def test_refusing_again_changes_nothing(restored: RegistrationWorld) -> None:
    restored.register()
    clone, stray = forgotten(restored), forgotten(restored, OTHER)
    for device in (clone, stray):
        device.visit()
    for _ in range(2):
        assert refuse(restored, clone.key, stray.key) == ["ok", "ok"]
    assert len(restored.events(EventKind.DEVICE_HOLD_REFUSED)) == 2


def test_nobody_is_refused_who_is_not_held(restored: RegistrationWorld) -> None:
    assert refuse(restored, forgotten(restored).key) == ["held-unknown"]


def test_refusing_every_key_of_an_unreregister_ends_on_the_deny_list(restored: RegistrationWorld) -> None:
    first, second = forgotten(restored), forgotten(restored)
    first.visit()
    second.visit()
    assert refuse(restored, first.key, second.key) == ["ok", "ok"]
    assert (first.visit(), second.visit()) == ("device-denied", "device-denied")


# --- registering and deleting


def test_registering_a_held_uuid_ends_its_review(restored: RegistrationWorld) -> None:
    key = new_key()
    device = forgotten(restored, key=key)
    device.visit()
    restored.register(device_csr(key=key))
    assert device.entries() == []
    assert device.visit() == "ok"


def test_deleting_a_known_device_ends_the_review_of_its_other_keys(restored: RegistrationWorld) -> None:
    restored.register()
    clone = forgotten(restored)
    clone.visit()
    restored.delete()
    assert clone.entries() == []
    assert clone.visit() == "device-denied"
