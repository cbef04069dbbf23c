"""An owner's certificates as other tools make them: right by default, and a test changes one thing.

Made with the plain builder of `cryptography`, not with our own issuance, so that a mistake there cannot confirm itself
here. Keys and certificates are cached by what they are made of: equal specifications are the same certificate.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ownroot.pki.encoding import spki_sha256
from ownroot.pki.names import FactoryName
from ownroot.trust.changes import UploadPki
from ownroot.trust.possession import Actor, Evidence, KeyKind, PendingKey
from ownroot.trust.rules import Accepted, decide
from ownroot.trust.state import FactoryPki

NOW: Final = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
FACTORY: Final = FactoryName("acme")
GATEWAY_NAMES: Final = ("gw.example.test", "ostree.gw.example.test")
EST_NAMES: Final = ("gw.example.test",)
OWNER: Final = "0123456789abcdef01234567"
UUID: Final = "11111111-2222-4333-8444-555555555555"

DISABLE: Final = x509.ReasonFlags.certificate_hold
RENEW: Final = x509.ReasonFlags.remove_from_crl
REVOKE: Final = x509.ReasonFlags.privilege_withdrawn

SERVER_AUTH: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH: Final = ExtendedKeyUsageOID.CLIENT_AUTH
_CURVES: Final = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@dataclass(frozen=True)
class Spec:
    """One certificate to make. `key` and `signer` are labels of keys; None leaves an extension out.

    `subject` and `issuer` list (OID, value) pairs in order. `serial` None picks one by the other values.
    """

    subject: tuple[tuple[ObjectIdentifier, str], ...]
    issuer: tuple[tuple[ObjectIdentifier, str], ...]
    key: str
    signer: str
    start: datetime = NOW
    end: datetime = NOW + timedelta(days=3650)
    serial: int | None = None
    ca: bool | None = None
    path_length: int | None = None
    digital_signature: bool = False
    cert_sign: bool = False
    usages: tuple[ObjectIdentifier, ...] | None = None
    dns_names: tuple[str, ...] = ()
    authority_key_identifier: bytes | None = None


def named(common_name: str | None, unit: str | None = FACTORY) -> tuple[tuple[ObjectIdentifier, str], ...]:
    """A subject of CN and OU, in this order; None leaves one out."""
    pairs = ((NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return tuple((oid, value) for oid, value in pairs if value is not None)


ROOT: Final = Spec(
    subject=named("Factory-CA"),
    issuer=named("Factory-CA"),
    key="root",
    signer="root",
    end=NOW + timedelta(days=7300),
    ca=True,
    cert_sign=True,
    usages=(SERVER_AUTH, CLIENT_AUTH),
)
GATEWAY_TLS: Final = Spec(
    subject=named(GATEWAY_NAMES[0]),
    issuer=ROOT.subject,
    key="tls",
    signer="root",
    digital_signature=True,
    usages=(SERVER_AUTH,),
    dns_names=GATEWAY_NAMES,
)
EST_TLS: Final = dataclasses.replace(GATEWAY_TLS, key="est", dns_names=EST_NAMES)
ONLINE_CA: Final = Spec(
    subject=named(GATEWAY_NAMES[0]),
    issuer=ROOT.subject,
    key="online",
    signer="root",
    ca=True,
    path_length=0,
    cert_sign=True,
)
LOCAL_CA: Final = dataclasses.replace(ONLINE_CA, subject=named(f"fio-{OWNER}"), key="local")
DEVICE: Final = Spec(
    subject=named(UUID),
    issuer=LOCAL_CA.subject,
    key="device",
    signer="local",
    start=NOW - timedelta(minutes=5),
    ca=False,
    digital_signature=True,
    usages=(CLIENT_AUTH,),
)


@cache
def private_key(label: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    """The key of this label. A label may begin with a curve (`P-521 root`) or a size (`RSA-2048 device`)."""
    kind, _, _ = label.partition(" ")
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[4:]))
    return ec.generate_private_key(_CURVES.get(kind, ec.SECP256R1()))


def key_id(label: str) -> bytes:
    """Our name for the public key of this label."""
    return spki_sha256(private_key(label).public_key())


@cache
def make(spec: Spec) -> x509.Certificate:
    """Make the certificate, or return it if it was made before."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(spec.subject))
        .issuer_name(_name(spec.issuer))
        .public_key(private_key(spec.key).public_key())
        .serial_number(_serial(spec))
        .not_valid_before(spec.start)
        .not_valid_after(spec.end)
    )
    for extension, critical in _extensions(spec):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(private_key(spec.signer), hashes.SHA256())


def changed(spec: Spec, **changes: object) -> x509.Certificate:
    """The certificate of a specification with something changed."""
    return make(dataclasses.replace(spec, **changes))  # type: ignore[arg-type]  # names and types are the test's


def command(
    orders: "Mapping[Spec | int, x509.ReasonFlags | None]",
    *,
    at: datetime = NOW,
    lifetime: timedelta = timedelta(minutes=15),
    signer: str = "root",
    issuer: Spec = ROOT,
) -> x509.CertificateRevocationList:
    """A CRL as the reference client makes it, with an entry for each CA, named by its specification or serial."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(make(issuer).subject)
        .last_update(at)
        .next_update(at + lifetime)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for ca, reason in orders.items():
        serial = make(ca).serial_number if isinstance(ca, Spec) else ca
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(private_key(signer), hashes.SHA256())


def pending(kind: KeyKind, label: str, *names: str, expires_at: datetime = NOW + timedelta(hours=1)) -> PendingKey:
    """A key the backend made an hour before it expires."""
    return PendingKey(kind, key_id(label), names, created_at=expires_at - timedelta(hours=1), expires_at=expires_at)


def pending_keys() -> tuple[PendingKey, ...]:
    """One live pending key of each kind, as after a POST that asked for everything."""
    return (
        pending(KeyKind.TLS, "tls", *GATEWAY_NAMES),
        pending(KeyKind.EST, "est", *EST_NAMES),
        pending(KeyKind.ONLINE_CA, "online"),
    )


def evidence(*keys: PendingKey, actor: str = OWNER, members: tuple[str, ...] = (OWNER,)) -> Evidence:
    """What surrounds an upload; these pending keys and no others."""
    return Evidence(keys, Actor(actor), frozenset(members))


def taken_over(*device_cas: Spec, est: bool = False) -> FactoryPki:
    """A factory after take-over, by way of the rules, with these device CAs (the online one if it is among them)."""
    change = UploadPki(
        root=make(ROOT),
        gateway_tls=make(GATEWAY_TLS),
        est_tls=make(EST_TLS) if est else None,
        device_cas=tuple(make(ca) for ca in device_cas) or None,
    )
    outcome = decide(FactoryPki(FACTORY), change, evidence(*pending_keys()), NOW)
    assert isinstance(outcome, Accepted)
    return outcome.new_pki


def _serial(spec: Spec) -> int:
    if spec.serial is not None:
        return spec.serial
    return int.from_bytes(hashlib.sha256(repr(spec).encode()).digest()[:16]) | 1


def _name(pairs: tuple[tuple[ObjectIdentifier, str], ...]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


def _extensions(spec: Spec) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if spec.digital_signature or spec.cert_sign:
        found.append((_key_usage(spec), True))
    if spec.usages is not None:
        found.append((x509.ExtendedKeyUsage(spec.usages), False))
    if spec.ca is not None:
        found.append((x509.BasicConstraints(ca=spec.ca, path_length=spec.path_length), True))
    if spec.dns_names:
        found.append((x509.SubjectAlternativeName([x509.DNSName(name) for name in spec.dns_names]), False))
    if spec.authority_key_identifier is not None:
        found.append((x509.AuthorityKeyIdentifier(spec.authority_key_identifier, None, None), False))
    return found


def _key_usage(spec: Spec) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=spec.digital_signature,
        key_cert_sign=spec.cert_sign,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
