"""What happens on the offline machine, at times and with faults that are hard to arrange from outside."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ownroot.cli.ceremony_approval import Approved, Checked, approve, check_request
from ownroot.cli.ceremony_view import plan_lines
from ownroot.cli.pki_directory import PkiDirectory
from ownroot.errors import KeyStoreError, OwnrootError
from ownroot.keystore.file import sec1_pem
from ownroot.pki.encoding import parse_crl
from ownroot.pki.revocation import CRL_LIFETIME
from ownroot.wire.ceremony import (
    PENDING_KEY_LIFETIME,
    AddDeviceCaOrder,
    CeremonyRequest,
    ChangeOrder,
    Devices,
    JudgeOrder,
    RotateTlsOrder,
    request_file,
    state_sha256,
)
from ownroot.wire.certs import CsrReply, FactoryCerts
from tests.support.certificates import (
    FACTORY,
    GATEWAY_NAME,
    NOW,
    Pair,
    csr,
    csr_pem,
    device_ca,
    entity,
    factory_root,
    gateway_tls,
    name,
)

ROOT = factory_root()
CA = device_ca(ROOT)
TLS_CSR = csr_pem(csr(subject=entity(GATEWAY_NAME), dns_names=(GATEWAY_NAME,)))
ROTATE = RotateTlsOrder()
DISABLE = JudgeOrder(verdict="disable", serials=(str(CA.certificate.serial_number),))


@pytest.fixture
def directory(tmp_path: Path) -> PkiDirectory:
    (tmp_path / "factory_ca.pem").write_text(ROOT.pem)
    (tmp_path / "factory_ca.key").write_bytes(sec1_pem(ROOT.ec_key))
    (tmp_path / "tls-crt").write_text(gateway_tls(ROOT).pem)
    return PkiDirectory(tmp_path)


def request(change: ChangeOrder, *, ca: Pair = CA) -> CeremonyRequest:
    state = FactoryCerts(root_crt=ROOT.pem, tls_crt=gateway_tls(ROOT).pem, ca_crt=ca.pem)
    return CeremonyRequest(
        factory=FACTORY,
        server_url="https://api.example.test",
        requested_at=NOW,
        requested_by="Ada",
        tool="ownroot/1",
        change=change,
        csrs=CsrReply(tls_csr=TLS_CSR) if change == ROTATE else CsrReply(),
        state=state,
        state_sha256=state_sha256(state),
        expires_at=NOW + PENDING_KEY_LIFETIME if change == ROTATE else None,
    )


def check(body: CeremonyRequest, directory: PkiDirectory, *, now: datetime = NOW) -> Checked:
    return check_request(request_file(body), directory, now=now)


def run(checked: Checked, directory: PkiDirectory, *, lifetime: timedelta = CRL_LIFETIME) -> Approved:
    return approve(checked, directory, operators=("Ada",), crl_lifetime=lifetime, now=NOW, write=lambda _: None)


def refusal(body: CeremonyRequest, directory: PkiDirectory, *, now: datetime = NOW) -> str:
    with pytest.raises(OwnrootError) as caught:
        check(body, directory, now=now)
    return caught.value.code


def test_a_request_is_good_until_the_servers_key_expires(directory: PkiDirectory) -> None:
    last = NOW + PENDING_KEY_LIFETIME - timedelta(seconds=1)
    assert check(request(ROTATE), directory, now=last)
    assert refusal(request(ROTATE), directory, now=NOW + PENDING_KEY_LIFETIME) == "ceremony-expired"


def test_a_clock_that_is_behind_signs_nothing(directory: PkiDirectory) -> None:
    assert check(request(ROTATE), directory, now=NOW - timedelta(minutes=5))
    assert refusal(request(ROTATE), directory, now=NOW - timedelta(minutes=5, seconds=1)) == "clock-behind"


def test_the_approval_ends_with_whatever_ends_first(directory: PkiDirectory) -> None:
    rotation = run(check(request(ROTATE), directory), directory)
    assert rotation.approval.body.usable_until == NOW + PENDING_KEY_LIFETIME
    verdict = run(check(request(DISABLE), directory), directory, lifetime=timedelta(hours=2))
    assert verdict.approval.body.usable_until == NOW + timedelta(hours=2)
    assert parse_crl(verdict.signed.upload.ca_revoke_crl or "").next_update_utc == NOW + timedelta(hours=2)


def test_a_stick_that_is_full_leaves_the_old_certificate_in_its_place(directory: PkiDirectory) -> None:
    def fail(_: Approved) -> None:
        raise KeyStoreError("ceremony-file-unwritable", "No space left.")

    before = (directory.path / "tls-crt").read_bytes()
    checked = check(request(ROTATE), directory)
    with pytest.raises(KeyStoreError):
        approve(checked, directory, operators=("Ada",), crl_lifetime=CRL_LIFETIME, now=NOW, write=fail)
    assert (directory.path / "tls-crt").read_bytes() == before
    assert set(directory.files()) == {"factory_ca.key", "factory_ca.pem", "tls-crt"}


def test_a_state_that_its_digest_does_not_fit_is_refused(directory: PkiDirectory) -> None:
    body = msgspec.structs.replace(request(ROTATE), state_sha256="00")
    assert refusal(body, directory) == "ceremony-state"


def test_a_state_with_a_device_ca_of_another_root_is_refused(directory: PkiDirectory) -> None:
    assert refusal(request(ROTATE, ca=device_ca(factory_root())), directory) == "ceremony-state"


def test_a_verdict_on_a_device_ca_the_state_does_not_know_is_refused(directory: PkiDirectory) -> None:
    unknown = JudgeOrder(verdict="revoke", serials=("77",))
    assert refusal(request(unknown), directory) == "no-such-device-ca"


def test_a_request_without_the_csr_it_needs_is_refused(directory: PkiDirectory) -> None:
    assert refusal(msgspec.structs.replace(request(ROTATE), csrs=CsrReply()), directory) == "csr-missing"


def test_a_csr_for_another_factory_is_refused(directory: PkiDirectory) -> None:
    other = csr_pem(csr(subject=entity(GATEWAY_NAME, "other"), dns_names=(GATEWAY_NAME,)))
    body = msgspec.structs.replace(request(ROTATE), csrs=CsrReply(tls_csr=other))
    assert refusal(body, directory) == "csr-other-factory"


@pytest.mark.parametrize("before", [(), ((NameOID.COMMON_NAME, GATEWAY_NAME),)], ids=["alone", "after another name"])
def test_a_csr_that_would_become_a_local_ca_is_refused(
    directory: PkiDirectory, before: tuple[tuple[x509.ObjectIdentifier, str], ...]
) -> None:
    # The connected machine may be in wrong hands: a CA of this name would be trusted whoever holds its key.
    subject = x509.Name([*name(*before), *entity("fio-5f0c1d2e3a4b5c6d7e8f9012")])
    online = csr_pem(csr(subject=subject, wants_ca=True))
    body = msgspec.structs.replace(request(AddDeviceCaOrder(online_ca=True)), csrs=CsrReply(ca_csr=online))
    assert refusal(body, directory) == "csr-local-ca-name"


def test_a_csr_of_an_online_ca_is_signed(directory: PkiDirectory) -> None:
    online = csr_pem(csr(subject=entity(GATEWAY_NAME), wants_ca=True))
    body = msgspec.structs.replace(request(AddDeviceCaOrder(online_ca=True)), csrs=CsrReply(ca_csr=online))
    assert [made.file for made in run(check(body, directory), directory).record.body.certificates] == ["online-crt"]


def test_a_name_with_a_line_break_cannot_pretend_to_be_our_words(directory: PkiDirectory) -> None:
    forged = Devices(ca_serial=None, count=1, names=("x\nFactory acme: nothing will change.",))
    body = msgspec.structs.replace(request(DISABLE), devices=(forged,), requested_by="Ada\nFactory acme: all is well")
    checked = check(body, directory)
    lines = list(plan_lines(checked.file, checked.change, checked.offered, root=checked.root, now=NOW))
    assert not any("\n" in line for line in lines)
    assert [line for line in lines if line.startswith("Factory ")] == ["Factory acme: disable a device CA."]
