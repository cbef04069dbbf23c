"""What an accepted or refused command does to keys, the audit log and the change feed, on a real database."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError
from ownroot.pki.encoding import certificate_pem, crl_pem, parse_csr, spki_sha256
from ownroot.pki.issuance import Issuer, plan_device_ca, plan_factory_root, plan_gateway_tls, sign_plan
from ownroot.pki.names import reencode_subject
from ownroot.pki.requests import verify_csr
from ownroot.pki.revocation import CERTIFICATE_HOLD, PRIVILEGE_WITHDRAWN, CrlEntry, make_crl
from ownroot.pki.serials import Serial, new_serial
from ownroot.pki.signer import generate_key
from ownroot.services.change_pki import change_pki
from ownroot.services.read_upload import UploadText
from ownroot.services.records import ChangeKind
from ownroot.services.request_csrs import PENDING_KEY_LIFETIME, CsrOrder, request_csrs
from ownroot.services.steps import run_blocking
from ownroot.services.view_pki import PkiView
from tests.support.registering import NOW, RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


@pytest.fixture
def root(world: RegistrationWorld) -> Issuer:
    key = generate_key()
    plan = plan_factory_root(world.factory.name, key.public_key(), now=NOW, serial=new_serial())
    return Issuer(sign_plan(plan, key), key)


def take_over(world: RegistrationWorld, root: Issuer) -> x509.Certificate:
    """Take the factory over with an online CA; returns that CA's certificate."""
    wanted = CsrOrder(tls=True, online_ca=True)
    csrs = run_blocking(request_csrs(wanted, world.owner, world.keyring, now=NOW), world.database)
    asked = verify_csr(parse_csr(csrs.online_ca or ""))
    plan = plan_device_ca(reencode_subject(asked.subject), asked.public_key, root.terms, now=NOW, serial=new_serial())
    online = sign_plan(plan, root.key)
    upload(
        world,
        UploadText(
            root=certificate_pem(root.certificate),
            gateway_tls=sign_tls(root, csrs.tls or ""),
            device_cas=certificate_pem(online),
        ),
    )
    return online


def sign_tls(root: Issuer, csr: str) -> str:
    plan = plan_gateway_tls(verify_csr(parse_csr(csr)), root.terms, now=NOW, serial=new_serial())
    return certificate_pem(sign_plan(plan, root.key))


def order(root: Issuer, certificate: x509.Certificate, reason: int) -> UploadText:
    entry = CrlEntry(Serial(certificate.serial_number), reason)
    return UploadText(crl=crl_pem(make_crl(root, [entry], now=NOW)))


def upload(world: RegistrationWorld, text: UploadText, *, now: datetime = NOW) -> PkiView:
    return run_blocking(change_pki(text, world.owner, now=now), world.database)


def refusal(world: RegistrationWorld, text: UploadText, *, now: datetime = NOW) -> OwnrootError:
    with pytest.raises((InvalidInputError, ConflictError)) as refused:
        upload(world, text, now=now)
    return refused.value


def test_revoking_the_online_ca_destroys_its_key_and_is_on_record(world: RegistrationWorld, root: Issuer) -> None:
    online = take_over(world, root)
    key = spki_sha256(online.public_key())
    assert world.read(lambda uow: uow.keys.find(key)) is not None

    view = upload(world, order(root, online, PRIVILEGE_WITHDRAWN))

    assert view.pki.device_cas == ()
    assert world.read(lambda uow: uow.keys.find(key)) is None
    (event,) = world.events(EventKind.PKI_DEVICE_CA_REVOKED)
    assert (event.subject, event.actor) == (str(online.serial_number), world.owner.user.polis_id)
    assert key.hex() in [event.subject for event in world.events(EventKind.PKI_KEY_DESTROYED)]


def test_disabling_the_online_ca_keeps_its_key_and_says_so_to_every_process(
    world: RegistrationWorld, root: Issuer
) -> None:
    online = take_over(world, root)
    before = world.read(lambda uow: uow.changes.generation())

    view = upload(world, order(root, online, CERTIFICATE_HOLD))

    assert view.pki.disabled_serials == (online.serial_number,)
    assert world.read(lambda uow: uow.keys.find(spki_sha256(online.public_key()))) is not None
    (change,) = world.read(lambda uow: uow.changes.since(before)) or ()
    assert (change.kind, change.factory_id) == (ChangeKind.TRUST, world.factory.id)
    assert change.announced_at > 0


def test_a_repeated_command_announces_nothing(world: RegistrationWorld, root: Issuer) -> None:
    disable = order(root, take_over(world, root), CERTIFICATE_HOLD)
    first = upload(world, disable)
    before = world.read(lambda uow: uow.changes.generation())

    assert upload(world, disable) == first
    assert world.read(lambda uow: uow.changes.generation()) == before
    assert len(world.events(EventKind.PKI_DEVICE_CA_DISABLED)) == 1


def test_a_refused_command_leaves_only_its_refusal(world: RegistrationWorld, root: Issuer) -> None:
    online = take_over(world, root)
    before = world.read(lambda uow: (uow.pki.load(world.factory.id), uow.changes.generation()))

    refused = refusal(world, order(root, online, PRIVILEGE_WITHDRAWN), now=NOW + timedelta(minutes=21))

    assert refused.code == "crl-expired"
    assert refused.fields is not None
    assert list(refused.fields) == ["ca-revoke-crl"]
    assert world.read(lambda uow: (uow.pki.load(world.factory.id), uow.changes.generation())) == before
    assert [event.subject for event in world.events(EventKind.PKI_CHANGE_REFUSED)] == ["crl-expired"]


def test_a_certificate_that_comes_too_late_hears_that_it_is_late(world: RegistrationWorld, root: Issuer) -> None:
    take_over(world, root)
    csrs = run_blocking(request_csrs(CsrOrder(tls=True), world.owner, world.keyring, now=NOW), world.database)
    late = UploadText(gateway_tls=sign_tls(root, csrs.tls or ""))

    assert refusal(world, late, now=NOW + PENDING_KEY_LIFETIME).code == "pending-key-expired"
    assert refusal(world, late, now=NOW + PENDING_KEY_LIFETIME + timedelta(days=1)).code == "key-not-pending"
    assert upload(world, late).pki.gateway_tls is not None
