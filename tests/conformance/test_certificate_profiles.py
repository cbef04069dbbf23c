"""The profile tables of the wire specification, a test per row: api.md §4 and registration.md §5.2."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ownroot.pki import names
from ownroot.pki.encoding import issuer_der, subject_der
from ownroot.pki.issuance import plan_device, plan_requested, sign_plan
from ownroot.pki.requests import device_csr, verify_csr
from ownroot.pki.serials import new_serial
from tests.conformance.issued import KINDS, TLS_NAMES, Issued, issue_everything
from tests.support.certificates import (
    CLIENT_AUTH,
    DEVICE_UUID,
    FACTORY,
    GATEWAY_NAME,
    NOW,
    SERVER_AUTH,
    USER_ID,
    csr,
    device_ca,
    factory_root,
    key_usage,
    make_key,
    sha256_key_identifier,
)

Listed = list[tuple[x509.ExtensionType, bool]]


@pytest.fixture(scope="module")
def issued() -> Issued:
    """One of everything, on P-256."""
    return issue_everything()


def extensions(certificate: x509.Certificate) -> Listed:
    """List (value, critical) in the order they stand."""
    return [(extension.value, extension.critical) for extension in certificate.extensions]


def identifier_of(certificate: x509.Certificate) -> bytes:
    """Return the identifier a child of this certificate must name."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def issuer_id(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the authority key identifier that follows from the issuer's certificate: its key id and nothing else."""
    return x509.AuthorityKeyIdentifier(identifier_of(certificate), None, None)


def test_root_extensions_are_those_of_the_table(issued: Issued) -> None:
    own_id = x509.SubjectKeyIdentifier(identifier_of(issued.root))

    assert extensions(issued.root) == [
        (key_usage("key_cert_sign", "crl_sign"), True),
        (x509.ExtendedKeyUsage([SERVER_AUTH, CLIENT_AUTH]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (own_id, False),
    ]


@pytest.mark.parametrize("kind", ["local_ca", "online_ca"])
def test_device_ca_extensions_are_those_of_the_table(issued: Issued, kind: str) -> None:
    certificate = issued.get(kind)

    assert extensions(certificate) == [
        (key_usage("key_cert_sign"), True),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.SubjectKeyIdentifier(identifier_of(certificate)), False),
        (issuer_id(issued.root), False),
    ]


@pytest.mark.parametrize(("kind", "dns_names"), [("tls", TLS_NAMES), ("est", (GATEWAY_NAME,))])
def test_tls_extensions_are_those_of_the_table(issued: Issued, kind: str, dns_names: tuple[str, ...]) -> None:
    assert extensions(issued.get(kind)) == [
        (key_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([SERVER_AUTH]), False),
        (issuer_id(issued.root), False),
        (x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), False),
    ]


@pytest.mark.parametrize("kind", ["device", "production_device"])
def test_device_extensions_are_those_of_the_table(issued: Issued, kind: str) -> None:
    certificate = issued.get(kind)

    assert extensions(certificate) == [
        (key_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([CLIENT_AUTH]), True),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectKeyIdentifier(identifier_of(certificate)), False),
        (issuer_id(issued.local_ca), False),
    ]


def test_usages_for_estclients_are_the_exact_octets_they_compare(issued: Issued) -> None:
    # fioconfig compares keyUsage and extKeyUsage of a renewed certificate octet by octet (gateway.md §7.1).
    usage, extended = issued.device.extensions[0].value, issued.device.extensions[1].value

    assert usage.public_bytes() == bytes.fromhex("03020780")
    assert extended.public_bytes() == bytes.fromhex("300a06082b06010505070302")


@pytest.mark.parametrize("kind", KINDS)
def test_serials_are_positive_and_below_2_to_the_159(issued: Issued, kind: str) -> None:
    assert 0 < issued.get(kind).serial_number < 1 << 159


@pytest.mark.parametrize("kind", KINDS)
def test_version_is_3_and_the_hash_is_sha256_under_a_p256_key(issued: Issued, kind: str) -> None:
    certificate = issued.get(kind)

    assert certificate.version is x509.Version.v3
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)


@pytest.mark.parametrize(("curve", "expected"), [("secp384r1", hashes.SHA384), ("secp521r1", hashes.SHA512)])
def test_hash_matches_the_curve_of_the_signing_key(curve: str, expected: type[hashes.HashAlgorithm]) -> None:
    everything = issue_everything(curve)

    assert {type(everything.get(kind).signature_hash_algorithm) for kind in KINDS} == {expected}


@pytest.mark.parametrize("kind", KINDS)
def test_issuer_is_byte_identical_to_the_issuers_subject(issued: Issued, kind: str) -> None:
    issuer = issued.local_ca if "device" in kind else issued.root

    assert issuer_der(issued.get(kind)) == subject_der(issuer)


def test_subject_key_identifier_is_rfc7093_method_1(issued: Issued) -> None:
    assert identifier_of(issued.local_ca) == sha256_key_identifier(issued.ca_key)


@pytest.mark.parametrize(
    ("kind", "common_name"), [("root", "Factory-CA"), ("local_ca", f"fio-{USER_ID}"), ("device", DEVICE_UUID)]
)
def test_subjects_are_cn_then_ou_in_utf8(issued: Issued, kind: str, common_name: str) -> None:
    assert subject_der(issued.get(kind)) == two_utf8_attributes(common_name, FACTORY)


def test_subject_of_csr_is_reencoded_ou_first_and_printable(issued: Issued) -> None:
    expected = b"".join(
        bytes((0x31, 9 + len(text), 0x30, 7 + len(text), 0x06, 0x03, 0x55, 0x04, kind, 0x13, len(text))) + text
        for kind, text in ((0x0B, FACTORY.encode()), (0x03, GATEWAY_NAME.encode()))
    )

    for kind in ("online_ca", "tls", "est", "requested_tls"):
        assert subject_der(issued.get(kind)) == bytes((0x30, len(expected))) + expected


def two_utf8_attributes(common_name: str, unit: str) -> bytes:
    """Write CN and OU by hand, as the table has them."""
    body = b"".join(
        bytes((0x31, 9 + len(text), 0x30, 7 + len(text), 0x06, 0x03, 0x55, 0x04, kind, 0x0C, len(text))) + text.encode()
        for kind, text in ((0x03, common_name), (0x0B, unit))
    )
    return bytes((0x30, len(body))) + body


@pytest.mark.parametrize(
    ("kind", "years"), [("root", 20), ("local_ca", 10), ("online_ca", 10), ("tls", 10), ("est", 10)]
)
def test_owners_certificates_begin_now_and_live_for_whole_years(issued: Issued, kind: str, years: int) -> None:
    certificate = issued.get(kind)

    assert certificate.not_valid_before_utc == NOW
    assert certificate.not_valid_after_utc == NOW.replace(year=NOW.year + years)


def test_device_certificate_begins_five_minutes_back_and_ends_with_its_ca(issued: Issued) -> None:
    assert issued.device.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert issued.device.not_valid_after_utc == issued.local_ca.not_valid_after_utc


def test_device_certificate_lives_7300_days_under_a_ca_that_lives_longer() -> None:
    ca = device_ca(factory_root(), not_after=NOW + timedelta(days=9000))
    plan = plan_device(device_csr(csr()), ca.certificate, now=NOW, serial=new_serial())

    assert sign_plan(plan, ca.ec_key).not_valid_after_utc == NOW + timedelta(days=7300)


@pytest.mark.parametrize("path_length", [None, 0, 3])
def test_ca_requested_by_csr_gets_path_length_zero(path_length: int | None) -> None:
    root = factory_root()
    wanted = (x509.BasicConstraints(ca=True, path_length=path_length), True)
    request = verify_csr(csr(make_key(), names.local_ca_subject(FACTORY, "x"), more_extensions=(wanted,)))
    signed = sign_plan(plan_requested(request, root.certificate, now=NOW, serial=new_serial()), root.ec_key)

    assert signed.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
