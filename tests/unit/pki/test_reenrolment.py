"""What a device may ask for when it renews, and each detail that makes it refused (protocol: gateway.md §7.1)."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AttributeOID, NameOID

from ownroot.errors import InvalidInputError
from ownroot.pki import der as asn1
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.reenrolment import read_reenrolment
from tests.support.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Extras,
    csr,
    device_ca,
    device_certificate,
    device_name,
    factory_root,
    key_usage,
    make_key,
    make_rsa_key,
)

CURRENT = device_certificate(device_ca(factory_root())).certificate
NAME = CURRENT.subject
KEY = make_key()
USAGE = (key_usage("digital_signature"), True)
PURPOSE = (x509.ExtendedKeyUsage([CLIENT_AUTH]), True)


def der(request: x509.CertificateSigningRequest) -> bytes:
    return request.public_bytes(Encoding.DER)


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidInputError) as refused:
        read_reenrolment(data, CURRENT)
    return refused.value.code


def asking(*extensions: tuple[x509.ExtensionType, bool]) -> bytes:
    return der(csr(KEY, NAME, more_extensions=extensions))


def builder() -> x509.CertificateSigningRequestBuilder:
    return x509.CertificateSigningRequestBuilder().subject_name(NAME)


def signed(request: x509.CertificateSigningRequestBuilder) -> bytes:
    return der(request.sign(KEY, hashes.SHA256()))


@pytest.mark.parametrize("extensions", [(), (USAGE,), (PURPOSE,), (USAGE, PURPOSE), ((USAGE[0], False),)])
def test_a_device_asks_for_its_name_over_a_new_key(extensions: Extras) -> None:
    request = builder()
    for extension, critical in extensions:
        request = request.add_extension(extension, critical)
    assert read_reenrolment(signed(request), CURRENT).spki_sha256 == spki_sha256(KEY.public_key())


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_the_curves_of_devices_are_taken(curve: str) -> None:
    key = make_key(curve)
    assert read_reenrolment(der(csr(key, NAME)), CURRENT).public_key == key.public_key()


@pytest.mark.parametrize("key", [make_key("secp224r1"), make_key("secp256k1"), make_rsa_key(2048)])
def test_other_keys_are_refused(key) -> None:
    assert refusal(der(csr(key, NAME))) == "csr-weak-key"


def test_another_uuid_is_refused() -> None:
    assert refusal(der(csr(KEY, device_name("22222222-2222-4333-8444-555555555555")))) == "csr-other-subject"


def test_the_same_name_encoded_otherwise_is_refused() -> None:
    printable = x509.Name([x509.NameAttribute(a.oid, a.value, _ASN1Type.PrintableString) for a in NAME])
    assert printable == NAME
    assert refusal(der(csr(KEY, printable))) == "csr-other-subject"


def test_the_same_attributes_in_another_order_are_refused() -> None:
    assert refusal(der(csr(KEY, x509.Name(reversed(list(NAME)))))) == "csr-other-subject"


def test_a_mark_the_certificate_does_not_have_is_refused() -> None:
    marked = x509.Name([*NAME, x509.NameAttribute(NameOID.BUSINESS_CATEGORY, "production")])
    assert refusal(der(csr(KEY, marked))) == "csr-other-subject"


@pytest.mark.parametrize(
    ("extension", "code"),
    [
        (key_usage("digital_signature", "key_agreement"), "csr-key-usage"),
        (key_usage("key_cert_sign"), "csr-key-usage"),
        (x509.ExtendedKeyUsage([CLIENT_AUTH, SERVER_AUTH]), "csr-extended-key-usage"),
        (x509.ExtendedKeyUsage([SERVER_AUTH]), "csr-extended-key-usage"),
        (x509.SubjectAlternativeName([x509.DNSName("gw.example")]), "csr-alternative-names"),
        (x509.BasicConstraints(ca=True, path_length=None), "csr-extension"),
        (x509.BasicConstraints(ca=False, path_length=None), "csr-extension"),
        (x509.OCSPNoCheck(), "csr-extension"),
    ],
)
def test_whatever_more_it_asks_for_is_refused(extension: x509.ExtensionType, code: str) -> None:
    assert refusal(asking((extension, True))) == code


def test_a_broken_signature_is_refused() -> None:
    data = der(csr(KEY, NAME))
    assert refusal(data[:-1] + bytes((data[-1] ^ 1,))) == "csr-signature"


def test_what_is_no_csr_is_refused() -> None:
    assert refusal(b"0\x03\x02\x01\x01") == "csr-malformed"
    assert refusal(b"0" * 100_000) == "csr-too-large"


def test_a_challenge_password_is_refused() -> None:
    assert refusal(signed(builder().add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"tls-unique"))) == "csr-attribute"


def test_an_attribute_we_do_not_know_is_refused() -> None:
    name = x509.ObjectIdentifier("1.2.840.113549.1.9.2")  # unstructuredName
    assert refusal(signed(builder().add_attribute(name, b"a board"))) == "csr-attribute"


def test_two_places_for_extensions_are_refused() -> None:
    """Two readers would take different ones; no builder writes it, so the request is put together by hand."""
    once = builder().add_extension(*USAGE).sign(KEY, hashes.SHA256())
    assert refusal(with_attributes_twice(once)) == "csr-attribute"


def with_attributes_twice(request: x509.CertificateSigningRequest) -> bytes:
    fields = list(asn1.read(asn1.read_one(request.tbs_certrequest_bytes, asn1.SEQUENCE).content))
    *rest, attributes = fields
    doubled = asn1.encode(attributes.tag, attributes.content + attributes.content)
    part = asn1.sequence(*(field.raw for field in rest), doubled)
    signature = KEY.sign(part, ec.ECDSA(hashes.SHA256()))
    return asn1.sequence(part, bytes.fromhex("300a06082a8648ce3d040302"), asn1.bit_string(signature))
