"""`--backdate`: everything the root signs begins the owner's margin before now, on both sides of an air gap."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ownroot.clock import utc_now
from ownroot.pki.encoding import parse_certificate
from tests.support.owner import Owner

FILES = ("factory_ca.pem", "tls-crt", "online-crt", "local-ca.pem")
# What a run may take on a slow machine.
A_RUN = timedelta(minutes=4)


def begin(text: str) -> datetime:
    return parse_certificate(text).not_valid_before_utc


def begins_before(text: str, minutes: int, started: datetime) -> bool:
    """Does a certificate made by a run since `started` begin so long before it was made?"""
    return timedelta() <= begin(text) - (started - timedelta(minutes=minutes)) <= A_RUN


def a_request() -> str:
    """A CSR for a server of the owner's own."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("api.example.test")]), critical=False)
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(("options", "minutes"), [((), 5), (("--backdate", "90"), 90), (("--backdate", "0"), 0)])
def test_a_whole_pki_begins_the_margin_before_its_making(
    owner: Owner, pki: Path, options: tuple[str, ...], minutes: int
) -> None:
    started = utc_now()
    assert owner.run("keys", "ca", "create", pki, *options).code == 0
    assert [name for name in FILES if not begins_before((pki / name).read_text(), minutes, started)] == []


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (("keys", "ca", "rotate-tls"), "tls-crt"),
        (("keys", "ca", "add-device-ca", "--online-ca"), "online-crt"),
        (("keys", "ca", "add-device-ca", "--local-ca", "--local-ca-filename", "line-2.pem"), "line-2.pem"),
    ],
)
def test_later_certificates_begin_the_margin_before_theirs(
    taken: Owner, pki: Path, words: tuple[str, ...], made: str
) -> None:
    started = utc_now()
    assert taken.run(*words, pki, "--backdate", "45").code == 0
    assert begins_before((pki / made).read_text(), 45, started)


def test_the_est_server_and_a_request_of_ones_own_too(taken: Owner, pki: Path, tmp_path: Path) -> None:
    csr, started = tmp_path / "api.csr", utc_now()
    csr.write_text(a_request())
    signed = taken.run("keys", "ca", "sign", "--pki-dir", pki, csr, "--backdate", "30")
    authorized = taken.run("keys", "est", "authorize", pki, "--backdate", "30")
    assert begins_before(signed.out, 30, started), signed.err
    assert begins_before(authorized.out, 30, started), authorized.err


def test_the_offline_machine_has_a_margin_of_its_own(taken: Owner, pki: Path, tmp_path: Path) -> None:
    request, approval, started = tmp_path / "tls.request.json", tmp_path / "tls.approval.json", utc_now()
    assert taken.run("keys", "ca", "request", "rotate-tls", request).code == 0
    words = ("approve", request, approval, "--pki-dir", pki, "--operator", "Ada", "--yes", "--backdate", "20")
    done = taken.run("keys", "ca", *words)
    assert done.code == 0, done.err
    assert begins_before((pki / "tls-crt").read_text(), 20, started)


def test_the_environment_may_say_it_once(taken: Owner, pki: Path) -> None:
    started = utc_now()
    assert taken.having(OWNROOT_BACKDATE="60").run("keys", "ca", "rotate-tls", pki).code == 0
    assert begins_before((pki / "tls-crt").read_text(), 60, started)


@pytest.mark.parametrize("minutes", ["-1", "10081", "1.5", "soon"])
def test_a_margin_beyond_a_week_or_in_the_future_is_refused(taken: Owner, pki: Path, minutes: str) -> None:
    before = (pki / "tls-crt").read_bytes()
    assert taken.run("keys", "ca", "rotate-tls", pki, "--backdate", minutes).code == 2
    assert (pki / "tls-crt").read_bytes() == before
