"""Strict PEM and DER: one object, a bundle, and everything that only looks like one."""

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key

from ownroot.errors import InvalidInputError
from ownroot.pki import encoding
from tests.support.certificates import (
    NOW,
    Pair,
    crl,
    crl_pem,
    csr,
    csr_pem,
    device_ca,
    device_certificate,
    entity,
    factory_root,
    make_key,
)


@pytest.fixture(scope="module")
def root() -> Pair:
    return factory_root()


@pytest.fixture(scope="module")
def ca(root: Pair) -> Pair:
    return device_ca(root)


def block(label: str, data: bytes) -> str:
    """Write a PEM block by hand."""
    return f"-----BEGIN {label}-----\n{base64.encodebytes(data).decode()}-----END {label}-----\n"


@pytest.mark.parametrize(
    "around",
    ["{}", "\n\n{}\n\n", "Certificate:\n    Data: --- 1 ---\n{}trailing words\n", "ünïcödé\x00\n{}"],
    ids=["alone", "blank lines", "openssl's text", "odd text"],
)
def test_one_certificate_is_read_with_text_around_it(root: Pair, around: str) -> None:
    assert encoding.parse_certificate(around.format(root.pem)) == root.certificate


def test_windows_line_ends_are_read(root: Pair) -> None:
    assert encoding.parse_certificate(root.pem.replace("\n", "\r\n")) == root.certificate


def test_bundle_is_read_in_its_order_with_duplicates(root: Pair, ca: Pair) -> None:
    bundle = f"# device CAs\n{ca.pem}\n\nand the root\n{root.pem}{ca.pem}"

    assert encoding.parse_certificates(bundle) == (ca.certificate, root.certificate, ca.certificate)


def test_two_certificates_where_one_belongs_are_refused(root: Pair, ca: Pair) -> None:
    assert code_of(root.pem + ca.pem) == "pem-too-many"


@pytest.mark.parametrize("text", ["", "\n", "no certificate here", "{}"])
def test_text_without_a_block_is_refused(text: str) -> None:
    assert code_of(text) == "pem-missing"
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_certificates(text)
    assert refused.value.code == "pem-missing"


@pytest.mark.parametrize(
    "damage",
    [
        lambda pem: pem.replace("-----BEGIN", "----BEGIN"),
        lambda pem: pem.replace("CERTIFICATE-----\nM", "CERTIFICATE----\nM"),
        lambda pem: pem.replace("-----END", "-----  END"),
        lambda pem: pem.replace("END CERTIFICATE", "END X509 CRL"),
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", " "),
        lambda pem: " " + pem,
        lambda pem: pem.rpartition("-----END")[0],
        lambda pem: pem.partition("-----\n")[2],
        lambda pem: pem.replace("-----\nM", "-----\nProc-Type: 4,ENCRYPTED\n\nM"),
        lambda pem: pem.replace("-----\nM", "-----\n*M"),
        lambda pem: pem.replace("-----\nM", "-----\n\x0cM"),
        lambda pem: pem.replace("-----\nM", "-----\nM\u00e9"),
        lambda pem: "-----BEGIN CERTIFICATE-----\n" + pem,
        lambda pem: pem + "-----END CERTIFICATE-----\n",
    ],
)
def test_damaged_pem_is_refused_alone_and_in_a_bundle(root: Pair, ca: Pair, damage: Callable[[str], str]) -> None:
    damaged = damage(root.pem)

    assert damaged != root.pem
    assert code_of(damaged) == "pem-malformed"
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_certificates(ca.pem + damaged)
    assert refused.value.code == "pem-malformed"


def test_private_key_is_refused_with_a_warning(root: Pair) -> None:
    key = root.ec_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()

    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_certificates(root.pem + key)

    assert refused.value.code == "pem-wrong-type"
    assert "private key" in refused.value.detail


@pytest.mark.parametrize("label", ["X509 CERTIFICATE", "TRUSTED CERTIFICATE", "CERTIFICATE REQUEST", "PKCS7"])
def test_other_type_of_block_is_refused(root: Pair, label: str) -> None:
    assert code_of(block(label, root.der)) == "pem-wrong-type"


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"\x00" * 1000, b"<html>"])
def test_block_that_holds_no_certificate_is_refused(data: bytes) -> None:
    assert code_of(block("CERTIFICATE", data)) == "certificate-malformed"


def test_octets_after_the_certificate_are_refused(root: Pair) -> None:
    assert code_of(block("CERTIFICATE", root.der + b"\x00")) == "certificate-malformed"


def test_ber_in_place_of_der_is_refused(root: Pair) -> None:
    header, content = root.der[:4], root.der[4:]
    assert header[1] == 0x82
    indefinite, longer = b"\x30\x80" + content + b"\x00\x00", b"\x30\x83\x00" + header[2:] + content

    assert code_of(block("CERTIFICATE", indefinite)) == "certificate-malformed"
    assert code_of(block("CERTIFICATE", longer)) == "certificate-malformed"


def test_largest_text_and_certificate_are_bounded(root: Pair) -> None:
    with pytest.raises(InvalidInputError) as refused:
        encoding.load_certificate_der(b"\x30" * (encoding.MAX_OBJECT_OCTETS + 1))

    assert refused.value.code == "certificate-too-large"
    assert code_of(root.pem + "x" * 100_000) == "pem-too-large"


def test_largest_bundle_is_bounded(root: Pair) -> None:
    assert len(encoding.parse_certificates(root.pem * encoding.MAX_BUNDLE_CERTIFICATES)) == 256
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_certificates(root.pem * (encoding.MAX_BUNDLE_CERTIFICATES + 1))
    assert refused.value.code == "pem-too-many"
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_certificates(root.pem + " " * encoding.MAX_BUNDLE_CHARS)
    assert refused.value.code == "pem-too-large"


def test_negative_serial_is_refused_and_a_160_bit_one_is_read(root: Pair) -> None:
    with pytest.warns(UserWarning, match="serial number"):
        negative = device_ca(root, serial=-7)
    with pytest.warns(UserWarning, match="serial number"):
        assert code_of(negative.pem) == "certificate-malformed"

    long = device_ca(root, serial=(1 << 160) - 1)
    assert encoding.parse_certificate(long.pem).serial_number == (1 << 160) - 1


@pytest.mark.parametrize("bits", [256, 8 * 3000])
def test_serial_too_long_for_any_number_on_paper_is_refused(root: Pair, bits: int) -> None:
    """Python turns no number of more than 4,300 digits into text, and every listing prints serials."""
    assert encoding.parse_certificate(device_ca(root, serial=(1 << 256) - 1).pem).serial_number.bit_length() == 256
    assert code_of(device_ca(root, serial=1 << bits).pem) == "certificate-malformed"


def test_csr_is_read_under_both_of_its_labels() -> None:
    request = csr()
    old = csr_pem(request).replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")

    assert encoding.parse_csr(csr_pem(request)) == encoding.parse_csr(old) == request


def test_certificate_in_place_of_a_csr_is_refused(root: Pair) -> None:
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_csr(root.pem)
    assert refused.value.code == "pem-wrong-type"
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_csr(block("CERTIFICATE REQUEST", root.der))
    assert refused.value.code == "csr-malformed"


def test_largest_csr_is_bounded() -> None:
    with pytest.raises(InvalidInputError) as refused:
        encoding.load_csr_der(b"\x30" * (encoding.MAX_OBJECT_OCTETS + 1))

    assert refused.value.code == "csr-too-large"


def test_crl_is_read_and_a_damaged_one_refused(root: Pair) -> None:
    revocations = crl(root, {7: x509.ReasonFlags.privilege_withdrawn})
    damaged = revocations.public_bytes(Encoding.DER)[:-80]

    assert encoding.parse_crl(crl_pem(revocations)) == revocations
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_crl(block("X509 CRL", damaged))
    assert refused.value.code == "crl-malformed"


def test_crl_with_a_serial_longer_than_allowed_is_refused(root: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MAX_SERIAL_BITS", 3)
    assert encoding.parse_crl(crl_pem(crl(root, {7: None})))
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_crl(crl_pem(crl(root, {8: None})))
    assert refused.value.code == "crl-malformed"


def test_what_is_written_ends_in_exactly_one_newline(root: Pair) -> None:
    for text in (encoding.certificate_pem(root.certificate), encoding.csr_pem(csr())):
        assert text.endswith("-----\n")
        assert "\n\n" not in text


def test_public_key_is_named_by_the_hash_of_its_der() -> None:
    public_key = make_key().public_key()
    spki = encoding.spki_der(public_key)

    assert encoding.spki_sha256(public_key) == hashlib.sha256(spki).digest()
    assert load_pem_public_key(encoding.spki_pem(encoding.spki_der(public_key)).encode()) == public_key


def test_certificate_is_named_by_the_hash_of_its_der(root: Pair) -> None:
    assert encoding.certificate_sha256(root.certificate) == hashlib.sha256(root.der).digest()


def test_names_are_returned_as_encoded(root: Pair, ca: Pair) -> None:
    request = csr(subject=entity("dev-1"))

    assert encoding.subject_der(ca.certificate) == ca.certificate.subject.public_bytes()
    assert encoding.issuer_der(ca.certificate) == encoding.subject_der(root.certificate)
    assert encoding.csr_subject_der(request) == request.subject.public_bytes()


def test_names_of_a_version_1_certificate_are_returned_too(ca: Pair) -> None:
    device = device_certificate(ca, version_1=True)

    assert device.certificate.version is x509.Version.v1
    assert encoding.subject_der(device.certificate) == device.certificate.subject.public_bytes()


def test_library_faults_keep_their_cause_for_the_log() -> None:
    with pytest.raises(InvalidInputError) as refused:
        encoding.load_certificate_der(b"junk")

    assert refused.value.context["cause"]
    assert str(refused.value.context["cause"]) not in refused.value.detail


def test_times_beyond_2049_are_read(root: Pair) -> None:
    ca = device_ca(root, not_after=NOW + timedelta(days=20_000))

    assert encoding.parse_certificate(ca.pem).not_valid_after_utc == NOW + timedelta(days=20_000)


def code_of(text: str) -> str:
    """Return why this text is not read as one certificate."""
    with pytest.raises(InvalidInputError) as refused:
        encoding.parse_certificate(text)
    return refused.value.code


def test_public_key_is_read_and_any_other_kind_or_damage_refused(root: Pair) -> None:
    key = make_key().public_key()
    pem = encoding.spki_pem(encoding.spki_der(key))
    assert encoding.parse_ec_public_key(pem) == key
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    refused = {
        encoding.spki_pem(encoding.spki_der(other)): "public-key-malformed",
        block("PUBLIC KEY", b"no key"): "public-key-malformed",
        pem + pem: "pem-too-many",
        root.pem: "pem-wrong-type",
        "": "pem-missing",
    }
    for text, code in refused.items():
        with pytest.raises(InvalidInputError) as caught:
            encoding.parse_ec_public_key(text)
        assert caught.value.code == code
