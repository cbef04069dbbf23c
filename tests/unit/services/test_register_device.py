"""Registration between its commits: who gets a uuid, what is on record before a key is used, what a crash leaves."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, RefusedError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import certificate_der, certificate_sha256
from ownroot.services.device_groups import create_group
from ownroot.services.records import ChangeKind
from ownroot.services.register_device import ProductionPolicy, RegistrationPolicy
from ownroot.services.steps import run_blocking
from ownroot.trust.state import Standing
from tests.support.device_csrs import UUID, broken_csr, csr_of, device_csr, new_key, plain_csr
from tests.support.registering import NOW, RegistrationWorld, new_keyring, registration_world
from tests.support.witness_key import WitnessKey, WitnessKeyring

OTHER = "99999999-2222-4333-8444-555555555555"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as opened:
        yield opened


# --- what is issued -------------------------------------------------------------------------------------------------


def test_device_gets_a_certificate_of_the_online_ca_and_its_key_is_pinned(world: RegistrationWorld) -> None:
    key = new_key()
    registered = world.register(device_csr(key=key))
    device = world.device()
    assert is_signed_by(registered.certificate, registered.issuer)
    assert registered.certificate.public_key() == key.public_key()
    assert device is not None
    assert (device.name, device.owner, device.production) == (UUID, world.owner.user.polis_id, False)
    assert device.issuer_sha256 == certificate_sha256(registered.issuer)
    assert device.spki_sha256 == world.history(device)[0].intent.spki_sha256


@pytest.mark.parametrize("make_csr", [device_csr, plain_csr])
def test_subject_is_the_one_of_the_csr_octet_for_octet(world: RegistrationWorld, make_csr: Any) -> None:
    csr = make_csr(production=True)
    subject = x509.load_pem_x509_csr(csr.encode()).subject
    registered = world.register(csr)
    assert registered.certificate.subject.public_bytes() == subject.public_bytes()
    device = world.device()
    assert device is not None
    assert device.production


def test_certificate_ends_with_its_ca_at_the_latest(world: RegistrationWorld) -> None:
    registered = world.register()
    assert registered.certificate.not_valid_after_utc == registered.issuer.not_valid_after_utc
    short = world.steps(device_csr(OTHER), policy=RegistrationPolicy(validity=timedelta(days=30)))
    certificate = run_blocking(short, world.database).certificate
    assert certificate.not_valid_after_utc == NOW + timedelta(days=30)
    assert certificate.not_valid_before_utc < NOW


def test_serials_are_random_positive_and_below_2_to_the_159(world: RegistrationWorld) -> None:
    serials = {world.register(device_csr(f"device-{n}")).certificate.serial_number for n in range(20)}
    assert len(serials) == 20
    assert all(0 < serial < 1 << 159 for serial in serials)
    # 64 random bits make two serials that agree in their lowest 64 a matter of luck we do not have.
    assert len({serial % (1 << 64) for serial in serials}) == 20


def test_serial_is_drawn_from_the_randomness_that_was_handed_in(world: RegistrationWorld) -> None:
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return b"\x5a" * count

    seeded = replace(world, issuing=replace(world.issuing, random=random))
    serial = seeded.register().certificate.serial_number
    assert max(asked) * 8 >= 64
    assert serial.to_bytes(20, "big")[1:] == b"\x5a" * 19


def test_registration_is_audited_and_announced_in_the_commit_that_makes_it_count(world: RegistrationWorld) -> None:
    before = world.read(lambda uow: uow.changes.generation())
    stepper = world.begin()
    stepper.step()
    assert world.events(EventKind.DEVICE_REGISTERED) == []
    registered = stepper.finish()
    (event,) = world.events(EventKind.DEVICE_REGISTERED)
    assert (event.subject, event.actor) == (UUID, world.owner.user.polis_id)
    assert event.details["serial"] == str(registered.certificate.serial_number)
    changes = world.read(lambda uow: uow.changes.since(before))
    assert [(change.kind, change.uuid) for change in changes] == [(ChangeKind.DEVICE, UUID)]


# --- P1: nothing is signed unless it is on record -------------------------------------------------------------------


@pytest.fixture
def witnessed(tmp_path: Path) -> Iterator[tuple[RegistrationWorld, WitnessKey]]:
    keyring = WitnessKeyring(new_keyring())
    with registration_world(tmp_path, keyring=keyring) as opened:
        opened.register(device_csr("warm-up"))
        assert keyring.last is not None
        keyring.last.world = opened
        yield opened, keyring.last


def test_intent_actor_and_request_hash_are_committed_before_the_key_is_used(
    witnessed: tuple[RegistrationWorld, WitnessKey],
) -> None:
    world, key = witnessed
    registered = world.register()
    ((entry,),) = key.seen
    assert entry.certificate_der is None
    assert entry.intent.serial == registered.certificate.serial_number
    assert entry.intent.actor == world.owner.user.polis_id
    assert len(entry.intent.request_sha256) == 32
    assert entry.intent.subject_key == UUID
    assert world.open_intents() == []


def test_key_store_failure_leaves_no_reservation_behind(witnessed: tuple[RegistrationWorld, WitnessKey]) -> None:
    world, key = witnessed
    key.fails = True
    assert world.refusal().code == "token-gone"
    assert (world.device(), world.open_intents()) == (None, [])
    assert [event.kind for event in world.events(EventKind.CERTIFICATE_VOIDED)] == [EventKind.CERTIFICATE_VOIDED]
    key.fails = False
    world.register(device_csr())  # the device threw its key away and comes with another one


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("csr", "code"),
    [
        ("", "pem-missing"),
        (broken_csr(), "csr-signature"),
        (device_csr("../evil"), "device-uuid-invalid"),
        (csr_of([x509.NameAttribute(NameOID.COMMON_NAME, UUID)]), "csr-subject"),
        (csr_of([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "acme")]), "csr-subject"),
        (
            csr_of(
                [
                    x509.NameAttribute(NameOID.COMMON_NAME, UUID),
                    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "acme"),
                ],
                ca=True,
            ),
            "csr-wants-ca",
        ),
    ],
)
def test_bad_csr_is_refused_before_anything_is_stored(world: RegistrationWorld, csr: str, code: str) -> None:
    error = world.refusal(csr or "no PEM at all")
    assert isinstance(error, InvalidInputError)
    assert error.code == code
    assert (world.device(), world.open_intents()) == (None, [])


def test_uuid_of_the_request_must_be_the_one_of_the_csr(world: RegistrationWorld) -> None:
    assert world.refusal(uuid=OTHER).code == "uuid-mismatch"
    assert run_blocking(world.steps(uuid=UUID), world.database)


@pytest.mark.parametrize("name", ["a/b", "a b", "..", "é", "x" * 65])
def test_name_that_is_no_url_part_is_refused(world: RegistrationWorld, name: str) -> None:
    error = world.refusal(name=name)
    assert (error.code, set(error.fields)) == ("name-invalid", {"name"})


def test_unknown_group_is_refused(world: RegistrationWorld) -> None:
    assert world.refusal(group="edge").code == "group-unknown"


def test_csr_of_another_factory_is_refused_and_audited(world: RegistrationWorld) -> None:
    error = world.refusal(device_csr(factory="other"))
    assert isinstance(error, RefusedError)
    assert error.code == "wrong-factory"
    (event,) = world.events(EventKind.DEVICE_REGISTRATION_REFUSED)
    assert (event.subject, event.details["code"]) == (UUID, "wrong-factory")


def test_request_that_cannot_be_read_is_refused_and_audited(world: RegistrationWorld) -> None:
    error = world.refusal("no CSR at all")
    assert isinstance(error, InvalidInputError)
    (event,) = world.events(EventKind.DEVICE_REGISTRATION_REFUSED)
    assert (event.subject, event.details["code"]) == ("", error.code)
    assert set(event.details) == {"code", "request-sha256"}


def test_request_that_is_granted_leaves_no_refusal(world: RegistrationWorld) -> None:
    world.register()
    assert world.events(EventKind.DEVICE_REGISTRATION_REFUSED) == []


def test_production_mark_is_policy(world: RegistrationWorld) -> None:
    forbidding = RegistrationPolicy(production=ProductionPolicy(everywhere=False))
    assert world.refusal(device_csr(production=True), policy=forbidding).code == "production-forbidden"
    assert run_blocking(world.steps(device_csr(), policy=forbidding), world.database)


def test_production_mark_can_be_for_some_groups_alone(world: RegistrationWorld) -> None:
    for name in ("line-1", "lab"):
        world.write(lambda uow, name=name: create_group(uow, name, description="", by=world.owner, now=NOW))
    policy = RegistrationPolicy(production=ProductionPolicy(everywhere=False, groups=frozenset({"line-1"})))
    for group in ("lab", None):
        assert world.refusal(device_csr(production=True), group=group, policy=policy).code == "production-forbidden"
    run_blocking(world.steps(device_csr(production=True), group="line-1", policy=policy), world.database)
    device = world.device()
    assert device is not None
    assert device.production


def test_disabled_online_ca_registers_nobody_until_it_is_enabled(world: RegistrationWorld) -> None:
    world.take_over()
    world.set_standing(Standing.DISABLED)
    error = world.refusal()
    assert isinstance(error, RefusedError)
    assert error.code == "online-ca-disabled"
    assert world.device() is None
    world.set_standing(Standing.ENABLED)
    assert world.register()


# --- who gets the uuid ----------------------------------------------------------------------------------------------


def test_uuid_in_use_under_another_key_is_refused_with_who_and_when(world: RegistrationWorld) -> None:
    first = world.register()
    error = world.refusal(device_csr())
    assert isinstance(error, ConflictError)
    assert (error.code, dict(error.fields)) == ("device-uuid-taken", {"uuid": "in use"})
    assert world.owner.user.name in error.detail
    assert "2026-11-23 12:00:00 UTC" in error.detail
    device = world.device()
    assert device is not None
    assert [entry.certificate_der for entry in world.history(device)] == [certificate_der(first.certificate)]
    assert [event.details["code"] for event in world.events(EventKind.DEVICE_REGISTRATION_REFUSED)] == [error.code]


def test_two_keys_racing_for_a_uuid_end_with_one_live_key(world: RegistrationWorld) -> None:
    first, second = world.begin(device_csr()), world.begin(device_csr())
    first.step()
    with pytest.raises(ConflictError) as caught:
        second.finish()
    assert caught.value.code == "device-uuid-taken"
    registered = first.finish()
    device = world.device()
    assert device is not None
    assert device.spki_sha256 == world.history(device)[0].intent.spki_sha256
    assert world.history(device)[0].certificate_der == certificate_der(registered.certificate)


def test_uuids_that_differ_in_case_alone_conflict(world: RegistrationWorld) -> None:
    world.register(device_csr("Device-A"))
    assert world.refusal(device_csr("device-a")).code == "device-uuid-case-twin"


def test_name_in_use_is_refused_in_the_words_devices_show(world: RegistrationWorld) -> None:
    world.register(device_csr(OTHER), name="dev-one")
    error = world.refusal(name="dev-one")
    assert (error.code, error.detail, dict(error.fields)) == (
        "device-name-taken",
        "Device name already in use: dev-one",
        {"name": "in use"},
    )


def test_name_that_is_another_devices_uuid_is_refused(world: RegistrationWorld) -> None:
    world.register(device_csr(OTHER), name="dev-one")
    assert world.refusal(name=OTHER).code == "device-name-taken"


def test_uuid_that_is_another_devices_name_is_refused_unless_that_one_has_another(world: RegistrationWorld) -> None:
    world.register(device_csr(OTHER), name="dev-one")
    error = world.refusal(device_csr("dev-one"), name="fresh")
    assert (error.code, set(error.fields)) == ("device-uuid-is-name", {"uuid"})
    assert world.register(device_csr("dev-two"), name="fresh")


def test_key_of_another_device_is_refused(world: RegistrationWorld) -> None:
    key = new_key()
    world.register(device_csr(key=key))
    error = world.refusal(device_csr(OTHER, key=key))
    assert (error.code, set(error.fields)) == ("device-key-taken", {"csr"})


def test_refused_registration_does_not_stay_in_the_way(world: RegistrationWorld) -> None:
    world.register(device_csr(OTHER), name="dev-one")
    world.refusal(name="dev-one")
    assert (world.device(), world.open_intents()) == (None, [])
    assert world.register(name="dev-two")


# --- P7: the same request again -------------------------------------------------------------------------------------


def test_same_request_again_gets_the_same_certificate(world: RegistrationWorld) -> None:
    csr = device_csr()
    first, again = world.register(csr), world.register(csr, now=NOW + timedelta(days=1))
    assert again.certificate == first.certificate
    assert (again.issuer, again.root) == (first.issuer, first.root)
    device = world.device()
    assert device is not None
    assert len(world.history(device)) == 1


def test_same_key_in_another_csr_gets_the_same_certificate(world: RegistrationWorld) -> None:
    key = new_key()
    assert world.register(device_csr(key=key)).certificate == world.register(device_csr(key=key)).certificate


def test_same_key_with_another_production_mark_gets_a_certificate_that_says_so(world: RegistrationWorld) -> None:
    key = new_key()
    first = world.register(device_csr(key=key))
    second = world.register(device_csr(key=key, production=True))
    assert first.certificate != second.certificate
    device = world.device()
    assert device is not None
    assert device.production


def test_ended_certificate_is_issued_anew_for_the_same_key(world: RegistrationWorld) -> None:
    csr, policy = device_csr(), RegistrationPolicy(validity=timedelta(days=1))
    first = run_blocking(world.steps(csr, policy=policy), world.database)
    later = NOW + timedelta(days=2)
    second = world.register(csr, now=later)
    assert first.certificate != second.certificate
    assert second.certificate.not_valid_after_utc > later
    assert world.register(csr, now=later).certificate == second.certificate


def test_certificate_of_a_disabled_ca_is_not_handed_out_again(world: RegistrationWorld) -> None:
    world.take_over()
    csr = device_csr()
    world.register(csr)
    world.set_standing(Standing.DISABLED)
    assert world.refusal(csr).code == "online-ca-disabled"


@pytest.mark.parametrize("leader_first", [True, False])
def test_twin_requests_in_flight_get_one_certificate(world: RegistrationWorld, leader_first: bool) -> None:
    csr = device_csr()
    leader, follower = world.begin(csr), world.begin(csr)
    leader.step()
    follower.step()
    order = [leader, follower] if leader_first else [follower, leader]
    first, second = (stepper.finish() for stepper in order)
    assert first.certificate == second.certificate
    device = world.device()
    assert device is not None
    assert [entry.certificate_der for entry in world.history(device)] == [certificate_der(first.certificate)]
    assert world.open_intents() == []


@pytest.mark.parametrize("first", [0, 12, 39])
def test_a_crowd_of_equal_requests_gets_one_certificate(world: RegistrationWorld, first: int) -> None:
    csr = device_csr()
    crowd = [world.begin(csr) for _ in range(40)]
    for stepper in crowd:
        stepper.step()
    certificates = {crowd[first].finish().certificate, *(stepper.finish().certificate for stepper in crowd[::-1])}
    assert len(certificates) == 1
    assert world.open_intents() == []
