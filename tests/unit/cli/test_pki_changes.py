"""Changes of a PKI as values: what is asked, what is signed, what is uploaded, and when an upload is in effect."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.cli.pki_changes import (
    AddDeviceCas,
    AuthorizeEst,
    Change,
    CreatePki,
    JudgeDeviceCas,
    LocalCa,
    Offered,
    RotateTls,
    csr_request,
    is_in_effect,
    read_csrs,
    sign_change,
)
from ownroot.errors import ConflictError, InvalidInputError, NotFoundError, OwnrootError
from ownroot.pki.encoding import parse_certificates, parse_crl
from ownroot.pki.issuance import Issuer
from ownroot.pki.revocation import Verdict, read_crl_command
from ownroot.pki.serials import Serial
from ownroot.wire.certs import CertsUpload, CsrReply, CsrRequest, FactoryCerts
from tests.support.certificates import (
    FACTORY,
    NOW,
    csr,
    csr_pem,
    device_ca,
    entity,
    factory_root,
    gateway_tls,
    make_key,
)

ROOT = factory_root()
OTHER_ROOT = factory_root()
LOCAL = device_ca(ROOT, subject=entity("fio-abc"))
ONLINE = device_ca(ROOT, subject=entity("gw.acme.example"))
TLS = gateway_tls(ROOT)
STATE = FactoryCerts(root_crt=ROOT.pem, tls_crt=TLS.pem, ca_crt=ONLINE.pem + "\n" + LOCAL.pem, disabled_ca_serials=())
LINE_2 = LocalCa(file="line-2.pem", polis_id="abc")
CHANGES: tuple[Change, ...] = (
    CreatePki(online_ca=True, local_ca=LINE_2),
    AddDeviceCas(online_ca=True, local_ca=LINE_2),
    RotateTls(),
    AuthorizeEst(),
    JudgeDeviceCas(verdict=Verdict.DISABLE, serials=(Serial(LOCAL.certificate.serial_number),)),
)
TLS_CSR = csr_pem(csr(make_key(), entity("gw.acme.example"), dns_names=("gw.acme.example", "ostree.gw.acme.example")))
EST_CSR = csr_pem(csr(make_key(), entity("gw.acme.example"), dns_names=("gw.acme.example",)))
CA_CSR = csr_pem(csr(make_key(), entity("gw.acme.example")))
REPLY = CsrReply(tls_csr=TLS_CSR, est_tls_csr=EST_CSR, ca_csr=CA_CSR)


def issuer() -> Issuer:
    return Issuer(ROOT.certificate, ROOT.ec_key)


def offered(change: Change) -> Offered:
    return read_csrs(change, REPLY, FACTORY, local_ca_key=make_key().public_key())


def judge(verdict: Verdict, *serials: int) -> JudgeDeviceCas:
    return JudgeDeviceCas(verdict=verdict, serials=tuple(Serial(serial) for serial in serials))


@pytest.mark.parametrize(
    ("change", "request_"),
    [
        (CHANGES[0], CsrRequest(first_time_init=True, ca_csr=True, tls_csr=True)),
        (replace(CHANGES[0], online_ca=False), CsrRequest(first_time_init=True, tls_csr=True)),
        (CHANGES[1], CsrRequest(first_time_init=False, ca_csr=True)),
        (replace(CHANGES[1], online_ca=False), None),
        (CHANGES[2], CsrRequest(first_time_init=False, tls_csr=True)),
        (CHANGES[3], CsrRequest(first_time_init=False, est_tls_csr=True)),
        (CHANGES[4], None),
    ],
)
def test_each_change_asks_for_its_own_keys(change: Change, request_: CsrRequest | None) -> None:
    assert csr_request(change) == request_


def test_csrs_that_were_not_asked_for_are_left_unread() -> None:
    reply = CsrReply(tls_csr=TLS_CSR, ca_csr="rubbish", est_tls_csr="rubbish")
    read = read_csrs(RotateTls(), reply, FACTORY)
    assert (read.online_ca, read.est_tls) == (None, None)
    assert read.tls is not None


@pytest.mark.parametrize(
    ("change", "reply", "code"),
    [
        (RotateTls(), CsrReply(), "csr-missing"),
        (RotateTls(), CsrReply(tls_csr="rubbish"), "pem-missing"),
        (AuthorizeEst(), CsrReply(est_tls_csr=TLS_CSR), "csr-est-names"),
        (CHANGES[0], CsrReply(tls_csr=TLS_CSR, ca_csr=TLS_CSR), "csr-same-key"),
        (
            RotateTls(),
            CsrReply(tls_csr=csr_pem(csr(make_key(), entity("gw", "other"), dns_names=("gw.example",)))),
            "csr-other-factory",
        ),
    ],
)
def test_csr_that_is_not_what_was_asked_for_is_refused(change: Change, reply: CsrReply, code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_csrs(change, reply, FACTORY)
    assert refused.value.code == code


def test_new_device_cas_follow_the_whole_present_list() -> None:
    change = CHANGES[1]
    signed = sign_change(change, offered(change), issuer(), STATE, now=NOW)
    listed = parse_certificates(signed.upload.ca_crt or "")
    assert listed[:2] == (ONLINE.certificate, LOCAL.certificate)
    assert listed[2:] == signed.certificates
    assert [file.name for file in signed.files] == ["online-crt", "line-2.pem"]
    assert (signed.upload.root_crt, signed.upload.tls_crt) == (None, None)


def test_take_over_uploads_root_tls_and_device_cas() -> None:
    change = CHANGES[0]
    signed = sign_change(change, offered(change), issuer(), FactoryCerts(), now=NOW)
    assert signed.upload.root_crt == ROOT.pem
    assert signed.upload.tls_crt is not None
    assert len(parse_certificates(signed.upload.ca_crt or "")) == 2


def test_serials_come_from_the_caller() -> None:
    numbers = itertools.count(1000)
    change = CHANGES[1]
    signed = sign_change(change, offered(change), issuer(), STATE, now=NOW, next_serial=lambda: Serial(next(numbers)))
    assert [certificate.serial_number for certificate in signed.certificates] == [1000, 1001]


@pytest.mark.parametrize("verdict", Verdict)
def test_verdict_is_a_command_the_root_signed(verdict: Verdict) -> None:
    signed = sign_change(judge(verdict, LOCAL.certificate.serial_number), Offered(), issuer(), STATE, now=NOW)
    command = read_crl_command(parse_crl(signed.upload.ca_revoke_crl or ""), ROOT.certificate, NOW)
    assert [(entry.serial, entry.verdict) for entry in command.entries] == [(LOCAL.certificate.serial_number, verdict)]
    assert signed.upload.ca_crt is None
    with pytest.raises(InvalidInputError, match="not signed by the factory root"):
        read_crl_command(parse_crl(signed.upload.ca_revoke_crl or ""), OTHER_ROOT.certificate, NOW)


@pytest.mark.parametrize(
    ("change", "state", "error", "code"),
    [
        (RotateTls(), FactoryCerts(), NotFoundError, "pki-not-set-up"),
        (RotateTls(), FactoryCerts(root_crt=OTHER_ROOT.pem), ConflictError, "other-root"),
        (CHANGES[0], FactoryCerts(root_crt=OTHER_ROOT.pem), ConflictError, "root-already-set"),
        (judge(Verdict.REVOKE, 5), STATE, NotFoundError, "no-such-device-ca"),
        (judge(Verdict.RENEW, 5), STATE, NotFoundError, "no-such-device-ca"),
    ],
)
def test_change_that_does_not_fit_the_state_is_not_signed(
    change: Change, state: FactoryCerts, error: type[OwnrootError], code: str
) -> None:
    with pytest.raises(error) as refused:
        sign_change(change, offered(change), issuer(), state, now=NOW)
    assert refused.value.code == code


def test_revoked_ca_comes_back_only_with_its_certificate() -> None:
    state = FactoryCerts(root_crt=ROOT.pem, tls_crt=TLS.pem, ca_crt=ONLINE.pem)
    back = replace(judge(Verdict.RENEW, LOCAL.certificate.serial_number), returning=(LOCAL.certificate,))
    upload = sign_change(back, Offered(), issuer(), state, now=NOW).upload
    assert parse_certificates(upload.ca_crt or "") == (ONLINE.certificate, LOCAL.certificate)
    foreign = device_ca(OTHER_ROOT)
    back = replace(judge(Verdict.RENEW, foreign.certificate.serial_number), returning=(foreign.certificate,))
    with pytest.raises(InvalidInputError) as refused:
        sign_change(back, Offered(), issuer(), state, now=NOW)
    assert refused.value.code == "ca-not-signed-by-root"


def test_root_that_has_expired_signs_nothing() -> None:
    late = ROOT.certificate.not_valid_after_utc + timedelta(days=1)
    with pytest.raises(OwnrootError) as refused:
        sign_change(RotateTls(), offered(RotateTls()), issuer(), STATE, now=late)
    assert refused.value.code == "issuer-expired"


@pytest.mark.parametrize("change", CHANGES[1:4], ids=lambda change: type(change).__name__)
def test_upload_is_in_effect_when_every_certificate_of_it_is_there(change: Change) -> None:
    upload = sign_change(change, offered(change), issuer(), STATE, now=NOW).upload
    assert not is_in_effect(upload, STATE)
    after = FactoryCerts(
        root_crt=STATE.root_crt,
        tls_crt=upload.tls_crt or STATE.tls_crt,
        ca_crt=upload.ca_crt or STATE.ca_crt,
        est_tls_crt=upload.est_tls_crt,
    )
    assert is_in_effect(upload, after)


@pytest.mark.parametrize(
    ("verdict", "trusted", "disabled", "expected"),
    [
        (Verdict.REVOKE, True, False, False),
        (Verdict.REVOKE, False, False, True),
        (Verdict.DISABLE, True, False, False),
        (Verdict.DISABLE, True, True, True),
        (Verdict.DISABLE, False, False, False),
        (Verdict.RENEW, True, True, False),
        (Verdict.RENEW, True, False, True),
        (Verdict.RENEW, False, False, False),
    ],
)
def test_verdict_is_in_effect_when_its_outcome_is_there(
    verdict: Verdict, trusted: bool, disabled: bool, expected: bool
) -> None:
    serial = LOCAL.certificate.serial_number
    upload = sign_change(judge(verdict, serial), Offered(), issuer(), STATE, now=NOW).upload
    after = FactoryCerts(
        root_crt=ROOT.pem,
        ca_crt=STATE.ca_crt if trusted else ONLINE.pem,
        disabled_ca_serials=(str(serial),) if disabled else (),
    )
    assert is_in_effect(upload, after) is expected


def test_empty_upload_is_in_effect_anywhere() -> None:
    assert is_in_effect(CertsUpload(), FactoryCerts())
