"""CSRs: proof of possession, accepted keys, and what the subject of a device may be."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ownroot.errors import InvalidInputError
from ownroot.pki import der
from ownroot.pki.encoding import load_csr_der, spki_sha256
from ownroot.pki.names import device_subject
from ownroot.pki.requests import KeyPolicy, device_csr, make_csr, read_device_csr, verify_csr
from tests.support.certificates import (
    DEVICE_UUID,
    FACTORY,
    Key,
    csr,
    csr_pem,
    device_name,
    entity,
    make_key,
    make_rsa_key,
    name,
)

UTF8, PRINTABLE = der.UTF8_STRING, der.PRINTABLE_STRING
COMMON_NAME, UNIT, CATEGORY, EMAIL = "0603550403", "060355040b", "060355040f", "06092a864886f70d010901"


def code_of(request: x509.CertificateSigningRequest, policy: KeyPolicy | None = None) -> str:
    """Return why this is not a device's CSR."""
    with pytest.raises(InvalidInputError) as refused:
        device_csr(request, policy=policy)
    return refused.value.code


def raw_csr(*attributes: tuple[str, int, bytes]) -> x509.CertificateSigningRequest:
    """Load what `raw_csr_der` makes, without touching it."""
    return x509.load_der_x509_csr(raw_csr_der(*attributes))


def raw_csr_der(*attributes: tuple[str, int, bytes]) -> bytes:
    """Sign a CSR whose subject is written by hand: (OID in hex, string tag, octets), one RDN each."""
    subject = b"".join(
        der.encode(der.SET, der.sequence(bytes.fromhex(oid), der.encode(tag, text))) for oid, tag, text in attributes
    )
    key, pattern = make_key(), csr()
    fields = [field.raw for field in der.read(der.read_one(pattern.tbs_certrequest_bytes, der.SEQUENCE).content)]
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed_part = der.sequence(fields[0], der.sequence(subject), spki, *fields[3:])
    algorithm = [
        field.raw for field in der.read(der.read_one(pattern.public_bytes(Encoding.DER), der.SEQUENCE).content)
    ]
    signature = key.sign(signed_part, ec.ECDSA(hashes.SHA256()))
    return der.sequence(signed_part, algorithm[1], der.bit_string(signature))


def test_device_csr_is_read_from_pem() -> None:
    key = make_key()
    read = read_device_csr(csr_pem(csr(key, device_name(production=True))))

    assert (read.uuid, read.factory, read.production) == (DEVICE_UUID, FACTORY, True)
    assert read.verified.spki_sha256 == spki_sha256(key.public_key())


def test_order_and_string_types_of_the_subject_are_free_and_kept() -> None:
    request = raw_csr((UNIT, PRINTABLE, b"acme"), (COMMON_NAME, UTF8, b"dev-1"))
    read = device_csr(request)

    assert (read.uuid, read.factory, read.production) == ("dev-1", "acme", False)
    assert read.verified.subject_der == request.subject.public_bytes()


def test_broken_signature_is_refused() -> None:
    request = csr()
    damaged = bytearray(request.public_bytes(Encoding.DER))
    damaged[-1] ^= 1

    assert code_of(x509.load_der_x509_csr(bytes(damaged))) == "csr-signature"


def test_key_swapped_under_a_signature_is_refused() -> None:
    victim, thief = make_key(), make_key()
    swapped = csr(victim).public_bytes(Encoding.DER).replace(point(victim), point(thief))

    assert code_of(x509.load_der_x509_csr(swapped)) == "csr-signature"


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_three_curves_are_accepted(curve: str) -> None:
    assert device_csr(csr(make_key(curve))).uuid == DEVICE_UUID


@pytest.mark.parametrize(
    "key",
    [make_key("secp224r1"), make_key("secp256k1"), ed25519.Ed25519PrivateKey.generate(), make_rsa_key(2048)],
    ids=["P-224", "secp256k1", "Ed25519", "RSA-2048"],
)
def test_other_keys_are_refused(key: Key) -> None:
    assert code_of(csr(key)) == "csr-weak-key"


def test_rsa_is_accepted_from_2048_bits_where_allowed() -> None:
    assert device_csr(csr(make_rsa_key(2048)), policy=KeyPolicy(allow_rsa=True)).uuid == DEVICE_UUID
    assert code_of(csr(make_rsa_key(1024)), KeyPolicy(allow_rsa=True)) == "csr-weak-key"


def test_ed25519_is_refused_also_where_rsa_is_allowed() -> None:
    assert code_of(csr(ed25519.Ed25519PrivateKey.generate()), KeyPolicy(allow_rsa=True)) == "csr-weak-key"


@pytest.mark.parametrize("weak", ["2a8648ce3d0401", "2a8648ce3d040301"], ids=["SHA-1", "SHA-224"])
def test_weak_hash_is_refused(weak: str) -> None:
    encoded = csr().public_bytes(Encoding.DER)
    body = [field.raw for field in der.read(der.read_one(encoded, der.SEQUENCE).content)]
    algorithm = der.sequence(der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex(weak)))
    request = x509.load_der_x509_csr(der.sequence(body[0], algorithm, body[2]))

    assert code_of(request) == "csr-weak-hash"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (make_key(), "300d06092a864886f70d01010b0500"),
        (make_key(), "300a06082a8648ce3d040303"),
        (make_rsa_key(2048), "300a06082a8648ce3d040302"),
    ],
    ids=["EC key, RSA with SHA-256", "EC key, ECDSA with SHA-384", "RSA key, ECDSA with SHA-256"],
)
def test_signature_under_another_algorithm_is_refused(key: Key, algorithm: str) -> None:
    honest = csr(key)
    signed_part, _, signature = der.read(der.read_one(honest.public_bytes(Encoding.DER), der.SEQUENCE).content)
    relabelled = der.sequence(signed_part.raw, bytes.fromhex(algorithm), signature.raw)
    rsa_too = KeyPolicy(allow_rsa=True)

    assert device_csr(honest, policy=rsa_too).uuid == DEVICE_UUID
    assert code_of(x509.load_der_x509_csr(relabelled), rsa_too) == "csr-signature"


def test_request_for_a_ca_certificate_is_refused() -> None:
    assert code_of(csr(wants_ca=True)) == "csr-wants-ca"


def test_requested_extensions_without_ca_are_ignored() -> None:
    constraints = x509.BasicConstraints(ca=False, path_length=None)

    assert device_csr(csr(more_extensions=((constraints, True),))).uuid == DEVICE_UUID


@pytest.mark.parametrize(
    "subject",
    [
        name((NameOID.COMMON_NAME, "d")),
        name((NameOID.ORGANIZATIONAL_UNIT_NAME, "acme")),
        x509.Name([*entity("d"), x509.NameAttribute(NameOID.COMMON_NAME, "e")]),
        x509.Name([*entity("d"), x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "other")]),
        x509.Name([*entity("d"), x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b")]),
        x509.Name([*entity("d"), x509.NameAttribute(NameOID.BUSINESS_CATEGORY, "staging")]),
        x509.Name([*device_subject("acme", "d", production=True), *name((NameOID.BUSINESS_CATEGORY, "production"))]),
        x509.Name([x509.RelativeDistinguishedName(list(entity("d")))]),
        x509.Name([]),
    ],
    ids=["no OU", "no CN", "two CN", "two OU", "e-mail", "category", "two categories", "one RDN", "empty"],
)
def test_subject_of_another_shape_is_refused(subject: x509.Name) -> None:
    assert code_of(make_csr(make_key(), subject)) == "csr-subject"


def test_subject_with_an_empty_rdn_is_refused() -> None:
    subject = der.sequence(der.encode(der.SET, b""))
    fields = list(der.read(der.read_one(csr().tbs_certrequest_bytes, der.SEQUENCE).content))
    key = make_key()
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed_part = der.sequence(fields[0].raw, subject, spki, fields[3].raw)
    signature = key.sign(signed_part, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    request = x509.load_der_x509_csr(der.sequence(signed_part, algorithm, der.bit_string(signature)))

    assert code_of(request) == "csr-subject"


@pytest.mark.parametrize(
    ("uuid", "factory", "code"),
    [
        ("../evil", "acme", "device-uuid-invalid"),
        ("", "acme", "device-uuid-invalid"),
        ("d", " ", "factory-name-invalid"),
    ],
)
def test_unsafe_uuid_or_factory_is_refused(uuid: str, factory: str, code: str) -> None:
    assert code_of(raw_csr((COMMON_NAME, UTF8, uuid.encode()), (UNIT, UTF8, factory.encode()))) == code


@pytest.mark.parametrize(
    ("tag", "text"),
    [(0x14, b"dev-1"), (0x1E, b"\x00d"), (0x16, b"dev-1")],
    ids=["T61String", "BMPString", "IA5String"],
)
def test_string_type_no_ca_may_write_is_refused(tag: int, text: bytes) -> None:
    # We copy these octets into a certificate; RFC 5280 §4.1.2.4 allows us UTF8String and PrintableString.
    assert code_of(raw_csr((COMMON_NAME, tag, text), (UNIT, UTF8, b"acme"))) == "csr-subject-encoding"


def test_underscore_in_a_printable_string_is_refused() -> None:
    with pytest.raises(InvalidInputError) as refused:
        load_csr_der(raw_csr_der((COMMON_NAME, PRINTABLE, b"dev_1"), (UNIT, UTF8, b"acme")))

    assert refused.value.code == "csr-malformed"


def test_underscore_is_fine_in_utf8() -> None:
    assert device_csr(raw_csr((COMMON_NAME, UTF8, b"dev_1"), (UNIT, UTF8, b"acme"))).uuid == "dev_1"


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xed\xa0\x80", b"dev\xc0\x80"])
def test_broken_utf8_is_refused(text: bytes) -> None:
    assert code_of(raw_csr((COMMON_NAME, UTF8, text), (UNIT, UTF8, b"acme"))) == "csr-malformed"


def test_made_csr_asks_for_its_names_in_order() -> None:
    verified = verify_csr(make_csr(make_key("secp384r1"), entity("gw"), ("b.example", "a.example")))

    assert verified.dns_names == ("b.example", "a.example")
    assert isinstance(verified.csr.signature_hash_algorithm, hashes.SHA384)
    assert verified.subject == entity("gw")


def test_made_csr_without_names_asks_for_none() -> None:
    verified = verify_csr(make_csr(make_key(), entity("gw")))

    assert verified.dns_names == ()
    assert verified.alternative_names is None
    assert not verified.wants_ca


def test_huge_rsa_exponent_is_refused_before_any_arithmetic() -> None:
    policy = KeyPolicy(allow_rsa=True)
    modulus = make_rsa_key(2048).private_numbers().public_numbers.n

    assert policy.accepts(rsa.RSAPublicNumbers(65537, modulus).public_key())
    assert not policy.accepts(rsa.RSAPublicNumbers((1 << 33) + 1, modulus).public_key())
