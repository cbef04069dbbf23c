"""Whatever octets arrive: accepted, or refused with an error of ours. Nothing of the library's gets out, no panic.

A panic of the library's compiled part is no `Exception`, so these tests would see it as an error of the test.
"""

import base64
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError, OwnrootError
from ownroot.pki import chains, conformance, der, encoding, issuance, names, requests, revocation
from ownroot.pki.serials import Serial
from tests.support.certificates import (
    CLIENT_AUTH,
    FACTORY,
    NOW,
    crl,
    csr,
    csr_pem,
    device_ca,
    device_certificate,
    device_name,
    entity,
    factory_root,
    make_key,
    make_rsa_key,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

UNKNOWN_OID = x509.ObjectIdentifier("1.2.3.4")
EVERY_NAME = x509.SubjectAlternativeName(
    [
        x509.DNSName("a.example"),
        x509.IPAddress(ip_address("192.0.2.1")),
        x509.DirectoryName(entity("x")),
        x509.RFC822Name("a@b.example"),
        x509.UniformResourceIdentifier("http://x/"),
        x509.RegisteredID(UNKNOWN_OID),
        x509.OtherName(UNKNOWN_OID, b"\x05\x00"),
    ]
)
EVERY_EXTENSION: tuple[tuple[x509.ExtensionType, bool], ...] = (
    (EVERY_NAME, True),
    (x509.NameConstraints([x509.DNSName("a")], [x509.IPAddress(ip_network("10.0.0.0/8"))]), True),
    (x509.PolicyConstraints(1, 1), True),
    (x509.CertificatePolicies([x509.PolicyInformation(UNKNOWN_OID, ["cps", x509.UserNotice(None, "text")])]), False),
    (x509.CRLDistributionPoints([x509.DistributionPoint([x509.DNSName("a")], None, None, None)]), False),
    (
        x509.AuthorityInformationAccess(
            [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://b"))]
        ),
        False,
    ),
    (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
    (x509.InhibitAnyPolicy(1), True),
    (x509.IssuerAlternativeName([x509.DNSName("i")]), False),
    (x509.UnrecognizedExtension(UNKNOWN_OID, b"123"), True),
)

ROOT = factory_root()
CA = device_ca(ROOT)
DEVICE = device_certificate(CA)
RSA_KEY = make_rsa_key()
CERTIFICATES = tuple(
    pair.der
    for pair in (
        ROOT,
        CA,
        DEVICE,
        device_certificate(CA, version_1=True),
        device_certificate(CA, key=RSA_KEY),
        device_certificate(CA, key=ed25519.Ed25519PrivateKey.generate()),
        device_certificate(CA, not_after=NOW + timedelta(days=20_000), more_extensions=EVERY_EXTENSION),
        factory_root(key=make_key("secp521r1")),
    )
)
CSRS = tuple(
    request.public_bytes(Encoding.DER)
    for request in (csr(), csr(RSA_KEY), csr(more_extensions=((EVERY_NAME, False),)), csr(wants_ca=True))
)
CRLS = tuple(
    revocations.public_bytes(Encoding.DER)
    for revocations in (
        crl(
            ROOT, {number: reason for number, reason in enumerate(x509.ReasonFlags, 1) if reason.value != "unspecified"}
        ),
        crl(
            ROOT,
            {7: None},
            more_extensions=((x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True),),
            more_in_entries=((x509.InvalidityDate(NOW), False),),
        ),
    )
)

# Where to strike, how, and with which octet. Tags and lengths are worth more tries than chance gives them.
OCTETS = st.one_of(
    st.integers(0, 255), st.sampled_from(b"\x00\x01\x02\x05\x06\x0c\x13\x14\x17\x18\x1e\x30\x31\x7f\x80\xa0\xff")
)
STRIKES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["set", "flip", "drop", "insert", "cut"]), OCTETS),
    min_size=1,
    max_size=4,
)
many = settings(max_examples=300, suppress_health_check=list(HealthCheck))


def struck(data: bytes, strikes: Iterable[tuple[float, str, int]]) -> bytes:
    """Damage an encoding in a few places."""
    octets = bytearray(data)
    for place, how, octet in strikes:
        at = int(place * len(octets))
        if how == "set":
            octets[at : at + 1] = bytes((octet,))
        elif how == "flip":
            octets[at : at + 1] = bytes((octets[at] ^ (1 << octet % 8),)) if octets else b""
        elif how == "drop":
            del octets[at : at + 1 + octet % 8]
        elif how == "insert":
            octets[at:at] = bytes((octet,))
        else:
            del octets[max(at, 1) :]
    return bytes(octets)


def judge_certificate(data: bytes) -> None:
    """Ask everything one can ask of a certificate from outside."""
    with suppress(InvalidInputError):
        certificate = encoding.load_certificate_der(data)
        use_certificate(certificate)


def use_certificate(certificate: x509.Certificate) -> None:
    conformance.device_certificate_fault(certificate, NOW, allow_rsa=True)
    chains.find_issuer(certificate, [ROOT.certificate, CA.certificate, certificate])
    chains.find_issuer(DEVICE.certificate, [certificate])
    chains.order_chain(certificate, [CA.certificate, ROOT.certificate])
    names.read_subject(certificate.subject)
    names.local_ca_user(certificate.subject)
    names.reencode_subject(certificate.subject).public_bytes()
    assert encoding.certificate_der(certificate)
    assert encoding.subject_der(certificate)[0] == encoding.issuer_der(certificate)[0] == der.SEQUENCE
    assert len(encoding.spki_sha256(certificate.public_key())) == 32
    for check in (
        lambda: conformance.check_factory_root(certificate, FACTORY, NOW),
        lambda: conformance.check_device_ca(certificate, ROOT.certificate, FACTORY, NOW),
        lambda: conformance.check_device_ca(CA.certificate, certificate, FACTORY, NOW),
        lambda: conformance.check_tls(certificate, ROOT.certificate, ["a.example"], NOW),
        lambda: revocation.read_crl_command(x509.load_der_x509_crl(CRLS[0]), certificate, NOW),
        lambda: issuance.plan_device(requests.device_csr(csr()), certificate, now=NOW, serial=Serial(1)),
    ):
        with suppress(OwnrootError):
            check()


def judge_csr(data: bytes) -> None:
    """Ask everything one can ask of a CSR from outside, read or only loaded."""
    for load in (encoding.load_csr_der, x509.load_der_x509_csr):
        try:
            request = load(data)
        except (InvalidInputError, ValueError):  # ValueError: the library's own loader, called by this test alone
            continue
        use_csr(request)


def use_csr(request: x509.CertificateSigningRequest) -> None:
    policy = requests.KeyPolicy(allow_rsa=True)
    with suppress(OwnrootError):
        requests.device_csr(request, policy=policy)
    with suppress(OwnrootError):
        verified = requests.verify_csr(request, policy=policy)
        issuance.plan_requested(verified, ROOT.certificate, now=NOW, serial=Serial(1))
        issuance.plan_gateway_tls(verified, ROOT.certificate, now=NOW, serial=Serial(1))


def judge_crl(data: bytes) -> None:
    """Ask everything one can ask of a CRL from outside."""
    with suppress(InvalidInputError):
        text = base64.encodebytes(data).decode()
        revocations = encoding.parse_crl(f"-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n")
        revocation.read_crl_command(revocations, ROOT.certificate, NOW)


@many
@given(st.sampled_from(CERTIFICATES), STRIKES)
def test_damaged_certificate_is_judged_without_a_foreign_error(
    data: bytes, strikes: list[tuple[float, str, int]]
) -> None:
    judge_certificate(struck(data, strikes))


@many
@given(st.sampled_from(CSRS), STRIKES)
def test_damaged_csr_is_judged_without_a_foreign_error(data: bytes, strikes: list[tuple[float, str, int]]) -> None:
    judge_csr(struck(data, strikes))


@many
@given(st.sampled_from(CRLS), STRIKES)
def test_damaged_crl_is_judged_without_a_foreign_error(data: bytes, strikes: list[tuple[float, str, int]]) -> None:
    judge_crl(struck(data, strikes))


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x30\x80")
@example(b"\x30\x84\xff\xff\xff\xff")
def test_any_octets_are_judged_without_a_foreign_error(data: bytes) -> None:
    for load in (encoding.load_certificate_der, encoding.load_csr_der):
        with pytest.raises(InvalidInputError):
            load(data)
    judge_crl(data)


@given(st.text(max_size=300), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.text(max_size=3)), max_size=3))
@example("-----BEGIN CERTIFICATE-----", [])
@example("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", [])
def test_any_text_is_parsed_or_refused(text: str, inserts: list[tuple[float, str]]) -> None:
    for place, extra in inserts:
        at = int(place * len(ROOT.pem))
        text += ROOT.pem[:at] + extra + ROOT.pem[at:]
    for parse in (encoding.parse_certificate, encoding.parse_certificates, encoding.parse_csr, encoding.parse_crl):
        with suppress(InvalidInputError):
            assert parse(text)


def refusal(action: Callable[[], object]) -> str:
    """Return the code this is refused with."""
    with pytest.raises(InvalidInputError) as refused:
        action()
    return refused.value.code


def device_fields() -> list[bytes]:
    """Return version, serial, algorithm, issuer, validity, subject, key and extensions of a device certificate."""
    signed_part = der.read_one(DEVICE.certificate.tbs_certificate_bytes, der.SEQUENCE)
    return [field.raw for field in der.read(signed_part.content)]


def certificate_with_key(spki: bytes) -> bytes:
    """Put another SubjectPublicKeyInfo into a device certificate, signed by the CA all the same."""
    fields = device_fields()
    fields[6] = spki
    return signed_by_ca(der.sequence(*fields))


def signed_by_ca(signed_part: bytes) -> bytes:
    signature = CA.ec_key.sign(signed_part, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return der.sequence(signed_part, algorithm, der.bit_string(signature))


def test_explicit_curve_parameters_are_refused() -> None:
    # The curve's own numbers in place of its name: the door to CVE-2020-0601, where a forger brings another generator.
    prime = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    point = make_key().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    parameters = der.sequence(
        der.integer(1),
        der.sequence(bytes.fromhex("06072a8648ce3d0101"), der.integer(prime)),
        der.sequence(
            der.encode(der.OCTET_STRING, (prime - 3).to_bytes(32, "big")),
            der.encode(der.OCTET_STRING, b.to_bytes(32, "big")),
        ),
        der.encode(der.OCTET_STRING, point),
        der.integer(order),
        der.integer(1),
    )
    spki = der.sequence(der.sequence(bytes.fromhex("06072a8648ce3d0201"), parameters), der.bit_string(point))

    assert refusal(lambda: encoding.load_certificate_der(certificate_with_key(spki))) == "certificate-malformed"


def test_point_that_is_not_on_the_curve_is_refused() -> None:
    spki = encoding.spki_der(make_key().public_key())

    assert refusal(lambda: encoding.load_certificate_der(certificate_with_key(spki[:-1] + bytes((spki[-1] ^ 1,))))) == (
        "certificate-malformed"
    )


def test_compressed_point_is_the_same_key_under_one_name() -> None:
    key = make_key().public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    certificate = encoding.load_certificate_der(certificate_with_key(der.sequence(algorithm, der.bit_string(point))))

    assert encoding.spki_sha256(certificate.public_key()) == encoding.spki_sha256(key)


@pytest.mark.parametrize("exponent", [(1 << 33) + 1, (1 << 2048) - 1])
def test_rsa_key_with_a_huge_exponent_is_refused_quickly(exponent: int) -> None:
    modulus = RSA_KEY.private_numbers().public_numbers.n
    numbers = der.sequence(der.integer(modulus), der.integer(exponent))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    data = certificate_with_key(der.sequence(algorithm, der.bit_string(numbers)))

    try:
        certificate = encoding.load_certificate_der(data)
    except InvalidInputError as refused:
        code = refused.code
    else:
        fault = conformance.device_certificate_fault(certificate, NOW, allow_rsa=True)
        code = fault.code if fault else ""
    assert code in {"certificate-malformed", "device-key"}


def test_extension_that_occurs_twice_is_refused() -> None:
    fields = device_fields()
    listed = der.read_one(der.read_one(fields[7], 0xA3).content, der.SEQUENCE).content
    first = next(der.read(listed)).raw
    fields[7] = der.explicit(3, der.sequence(listed, first))

    assert (
        refusal(lambda: encoding.load_certificate_der(signed_by_ca(der.sequence(*fields)))) == "certificate-malformed"
    )


@pytest.mark.parametrize("oid", ["551d0f", "551d13", "551d25", "551d11"])
def test_extension_whose_value_is_rubbish_is_refused(oid: str) -> None:
    fields = device_fields()
    rubbish = der.extension(der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex(oid)), b"\x04\x01x", critical=False)
    fields[7] = der.explicit(3, der.sequence(rubbish))

    assert (
        refusal(lambda: encoding.load_certificate_der(signed_by_ca(der.sequence(*fields)))) == "certificate-malformed"
    )


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x0C, b"\xff"),
        (0x0C, b"\xed\xa0\x80"),
        (0x13, b"\xe9"),
        (0x1E, b"\x00"),
        (0x1C, b"\x00\x11\x00\x00"),
        (0x63, b"x"),
    ],
    ids=["UTF-8", "surrogate", "PrintableString", "half a BMPString", "beyond Unicode", "no string type"],
)
def test_name_that_is_no_text_is_refused(tag: int, text: bytes) -> None:
    fields = device_fields()
    pair = der.sequence(bytes.fromhex("0603550403"), der.encode(tag, text))
    fields[5] = der.sequence(der.encode(der.SET, pair))

    assert (
        refusal(lambda: encoding.load_certificate_der(signed_by_ca(der.sequence(*fields)))) == "certificate-malformed"
    )


@pytest.mark.parametrize("oid", ["2a030405", "2a8648ce3d040305"])
def test_unknown_signature_algorithm_is_refused(oid: str) -> None:
    algorithm = der.sequence(der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex(oid)))
    fields = device_fields()
    data = der.sequence(der.sequence(*fields[:2], algorithm, *fields[3:]), algorithm, der.bit_string(b"x" * 70))

    assert refusal(lambda: encoding.load_certificate_der(data)) == "certificate-malformed"


def test_inner_and_outer_signature_algorithm_must_agree() -> None:
    sha384 = bytes.fromhex("300a06082a8648ce3d040303")
    signed_part = DEVICE.certificate.tbs_certificate_bytes
    data = der.sequence(signed_part, sha384, der.bit_string(CA.ec_key.sign(signed_part, ec.ECDSA(hashes.SHA384()))))

    assert not chains.is_signed_by(encoding.load_certificate_der(data), CA.certificate)


def test_csr_of_many_attributes_is_refused_by_size_alone() -> None:
    big = x509.UnrecognizedExtension(UNKNOWN_OID, bytes(20_000))
    request = csr(subject=device_name(), more_extensions=((big, False), (x509.ExtendedKeyUsage([CLIENT_AUTH]), True)))

    assert refusal(lambda: encoding.parse_csr(csr_pem(request))) == "csr-too-large"


def test_warnings_of_the_library_made_errors_are_refusals_too() -> None:
    negative = device_ca(ROOT, serial=-7).der

    assert refusal(lambda: load_with_warnings_as_errors(negative)) == "certificate-malformed"


def load_with_warnings_as_errors(data: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return encoding.load_certificate_der(data)
