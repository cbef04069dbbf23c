"""Builders of keys, certificates, CSRs and CRLs: right by default, each oddity an option a test changes alone.

They are written against `cryptography`, not against our own issuance: a test must not confirm a mistake with the code
that made it. Certificates look like those of the reference client and of devices unless told otherwise:

    root = factory_root()
    ca = device_ca(root)
    device = device_certificate(ca, uuid="dev-1")
    expired = device_certificate(ca, not_after=NOW - timedelta(days=1))
    long_serial = device_ca(root, serial=2**160 - 1)
    two_with_one_subject = device_ca(root), device_ca(root)
    forged = device_certificate(ca, signer=make_key())
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ownroot.pki import der

NOW: Final = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
FACTORY: Final = "acme"
USER_ID: Final = "5f0c1d2e3a4b5c6d7e8f9012"
GATEWAY_NAME: Final = "gw.acme.example"
DEVICE_UUID: Final = "11111111-2222-4333-8444-555555555555"

CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    curve.name: curve for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.SECP224R1(), ec.SECP256K1())
}

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Extras = tuple[tuple[x509.ExtensionType, bool], ...]

SERVER_AUTH: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH: Final = ExtendedKeyUsageOID.CLIENT_AUTH

_ECDSA_WITH_SHA1: Final = bytes.fromhex("300906072a8648ce3d0401")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with the private key of its subject."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        """Return the certificate as PEM text."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        """Return the certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def ec_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key where an EC key is known to be inside."""
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        return self.key


class Oddities(TypedDict, total=False):
    """What a test may change in a certificate; None leaves an extension out."""

    key: Key
    signer: Key  # signs in place of the issuer: a forgery under the issuer's name
    subject: x509.Name
    issuer_name: x509.Name
    serial: int
    not_before: datetime
    not_after: datetime
    key_usage: Sequence[str] | None  # names of x509.KeyUsage's arguments
    key_usage_critical: bool
    extended_key_usages: Sequence[ObjectIdentifier] | None
    extended_key_usages_critical: bool
    is_ca: bool | None  # None: no basicConstraints
    path_length: int | None
    constraints_critical: bool
    subject_key_identifier: bytes | None
    authority_key_identifier: bytes | None
    dns_names: Sequence[str]
    more_extensions: Extras
    sha1: bool  # signed with SHA-1
    version_1: bool  # no version field and no extensions


def make_key(curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    """Make an EC key."""
    return ec.generate_private_key(CURVES[curve])


def make_rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """Make an RSA key."""
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


def name(*attributes: tuple[ObjectIdentifier, str]) -> x509.Name:
    """Return a name of these attributes, each an RDN of its own, as UTF8String."""
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def entity(common_name: str, factory: str = FACTORY) -> x509.Name:
    """Return a name of one CN and one OU."""
    return name((NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATIONAL_UNIT_NAME, factory))


def device_name(uuid: str = DEVICE_UUID, factory: str = FACTORY, *, production: bool = False) -> x509.Name:
    """Return the subject of a device."""
    if not production:
        return entity(uuid, factory)
    return x509.Name([*entity(uuid, factory), x509.NameAttribute(NameOID.BUSINESS_CATEGORY, "production")])


def factory_root(factory: str = FACTORY, *, now: datetime = NOW, **odd: Unpack[Oddities]) -> Pair:
    """Make a self-signed factory root as the reference client does."""
    defaults = Oddities(
        subject=entity("Factory-CA", factory),
        not_before=now,
        not_after=now.replace(year=now.year + 20),
        key_usage=("key_cert_sign", "crl_sign"),
        extended_key_usages=(SERVER_AUTH, CLIENT_AUTH),
        is_ca=True,
        authority_key_identifier=None,
    )
    defaults.update(odd)
    return issue(None, defaults)


def device_ca(
    root: Pair,
    common_name: str = f"fio-{USER_ID}",
    factory: str = FACTORY,
    *,
    now: datetime = NOW,
    **odd: Unpack[Oddities],
) -> Pair:
    """Make a device CA; the default CN is that of a local one."""
    defaults = Oddities(
        subject=entity(common_name, factory),
        not_before=now,
        not_after=now.replace(year=now.year + 10),
        key_usage=("key_cert_sign",),
        is_ca=True,
        path_length=0,
    )
    defaults.update(odd)
    return issue(root, defaults)


def gateway_tls(
    root: Pair,
    factory: str = FACTORY,
    *,
    now: datetime = NOW,
    **odd: Unpack[Oddities],
) -> Pair:
    """Make a gateway's or EST server's certificate."""
    defaults = Oddities(
        subject=entity(GATEWAY_NAME, factory),
        not_before=now,
        not_after=now.replace(year=now.year + 10),
        key_usage=("digital_signature",),
        extended_key_usages=(SERVER_AUTH,),
        is_ca=None,
        subject_key_identifier=None,
        dns_names=(GATEWAY_NAME, f"ostree.{GATEWAY_NAME}"),
    )
    defaults.update(odd)
    return issue(root, defaults)


def device_certificate(
    ca: Pair,
    uuid: str = DEVICE_UUID,
    factory: str = FACTORY,
    *,
    now: datetime = NOW,
    production: bool = False,
    **odd: Unpack[Oddities],
) -> Pair:
    """Make a device's certificate."""
    defaults = Oddities(
        subject=device_name(uuid, factory, production=production),
        not_before=now - timedelta(minutes=5),
        not_after=now + timedelta(days=3650),
        key_usage=("digital_signature",),
        extended_key_usages=(CLIENT_AUTH,),
        extended_key_usages_critical=True,
        is_ca=False,
    )
    defaults.update(odd)
    return issue(ca, defaults)


def issue(issuer: Pair | None, odd: Oddities) -> Pair:
    """Make one certificate; without an issuer it signs itself."""
    key = odd["key"] if "key" in odd else make_key()
    signer = odd.get("signer") or (issuer.key if issuer else key)
    issuer_name = odd.get("issuer_name") or (issuer.certificate.subject if issuer else odd["subject"])
    serial = odd["serial"] if "serial" in odd else x509.random_serial_number()
    builder = (
        x509.CertificateBuilder()
        .subject_name(odd["subject"])
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(serial if 0 < serial < 1 << 159 else 1)
        .not_valid_before(odd.get("not_before", NOW))
        .not_valid_after(odd.get("not_after", NOW + timedelta(days=365)))
    )
    for extension, critical in _extensions(key, issuer.key if issuer else key, odd):
        builder = builder.add_extension(extension, critical)
    weak, plain = odd.get("sha1", False), odd.get("version_1", False)
    signed = builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    if weak or plain or not 0 < serial < 1 << 159:
        signed = _sign_again(signed, signer, odd)
    return Pair(signed, key)


def csr(
    key: Key | None = None,
    subject: x509.Name | None = None,
    *,
    dns_names: Iterable[str] = (),
    wants_ca: bool = False,
    more_extensions: Extras = (),
) -> x509.CertificateSigningRequest:
    """Make a CSR; by default one a device sends, with the usages it asks for."""
    key = key or make_key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or device_name())
    extensions: list[tuple[x509.ExtensionType, bool]] = list(more_extensions)
    if listed := [x509.DNSName(dns_name) for dns_name in dns_names]:
        extensions.append((x509.SubjectAlternativeName(listed), False))
    elif wants_ca:
        extensions.append((x509.BasicConstraints(ca=True, path_length=None), True))
    elif not more_extensions:
        extensions += [(key_usage("digital_signature"), True), (x509.ExtendedKeyUsage([CLIENT_AUTH]), True)]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def csr_pem(request: x509.CertificateSigningRequest) -> str:
    """Return a CSR as PEM text."""
    return request.public_bytes(Encoding.PEM).decode()


def crl(
    root: Pair,
    serials: Mapping[int, x509.ReasonFlags | None],
    *,
    now: datetime = NOW,
    next_update: datetime | None = None,
    issuer_name: x509.Name | None = None,
    signer: ec.EllipticCurvePrivateKey | None = None,
    more_extensions: Extras = (),
    more_in_entries: Extras = (),
) -> x509.CertificateRevocationList:
    """Make the CRL the reference client sends: only the serials to act on, number 1, good for 15 minutes."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer_name or root.certificate.subject)
        .last_update(now)
        .next_update(next_update or now + timedelta(minutes=15))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for extension, critical in more_extensions:
        builder = builder.add_extension(extension, critical)
    for serial, reason in serials.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        for extension, critical in more_in_entries:
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer or root.ec_key, hashes.SHA256())


def crl_pem(revocations: x509.CertificateRevocationList) -> str:
    """Return a CRL as PEM text."""
    return revocations.public_bytes(Encoding.PEM).decode()


def key_usage(*bits: str) -> x509.KeyUsage:
    """Return a keyUsage of the bits named after the arguments of `x509.KeyUsage`."""
    return x509.KeyUsage(
        digital_signature="digital_signature" in bits,
        content_commitment="content_commitment" in bits,
        key_encipherment="key_encipherment" in bits,
        data_encipherment="data_encipherment" in bits,
        key_agreement="key_agreement" in bits,
        key_cert_sign="key_cert_sign" in bits,
        crl_sign="crl_sign" in bits,
        encipher_only="encipher_only" in bits,
        decipher_only="decipher_only" in bits,
    )


def sha256_key_identifier(key: Key) -> bytes:
    """Return the identifier of today's reference client: leftmost 160 bits of SHA-256 over the key bits."""
    return hashlib.sha256(_key_bits(key)).digest()[:20]


def sha1_key_identifier(key: Key) -> bytes:
    """Return the identifier of older tools: SHA-1 over the key bits."""
    return hashlib.sha1(_key_bits(key), usedforsecurity=False).digest()


def _key_bits(key: Key) -> bytes:
    public = key.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _extensions(key: Key, issuer_key: Key, odd: Oddities) -> Extras:
    """List the extensions in the reference client's order."""
    found: list[tuple[x509.ExtensionType, bool]] = []
    if (bits := odd.get("key_usage")) is not None:
        found.append((key_usage(*bits), odd.get("key_usage_critical", True)))
    if (usages := odd.get("extended_key_usages")) is not None:
        found.append((x509.ExtendedKeyUsage(usages), odd.get("extended_key_usages_critical", False)))
    if (is_ca := odd.get("is_ca")) is not None:
        constraints = x509.BasicConstraints(ca=is_ca, path_length=odd.get("path_length"))
        found.append((constraints, odd.get("constraints_critical", True)))
    if (own := odd.get("subject_key_identifier", sha256_key_identifier(key))) is not None:
        found.append((x509.SubjectKeyIdentifier(own), False))
    if (issuers := odd.get("authority_key_identifier", sha256_key_identifier(issuer_key))) is not None:
        found.append((x509.AuthorityKeyIdentifier(issuers, None, None), False))
    if dns_names := odd.get("dns_names"):
        found.append((x509.SubjectAlternativeName([x509.DNSName(dns_name) for dns_name in dns_names]), False))
    return (*found, *odd.get("more_extensions", ()))


def _sign_again(certificate: x509.Certificate, signer: Key, odd: Oddities) -> x509.Certificate:
    """Write a serial, hash or version that the library's builder refuses, and sign the result."""
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    fields = [field.raw for field in der.read(der.read_one(certificate.tbs_certificate_bytes, der.SEQUENCE).content)]
    if (serial := odd.get("serial")) is not None:
        fields[1] = der.encode(der.INTEGER, serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True))
    if odd.get("sha1"):
        fields[2] = _ECDSA_WITH_SHA1
    algorithm = fields[2]
    if odd.get("version_1"):
        fields = fields[1:-1]
    signed_part = der.sequence(*fields)
    signature = signer.sign(signed_part, ec.ECDSA(hashes.SHA1() if odd.get("sha1") else hashes.SHA256()))  # noqa: S303
    return x509.load_der_x509_certificate(der.sequence(signed_part, algorithm, der.bit_string(signature)))
