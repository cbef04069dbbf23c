"""Plan a certificate from a profile, check it, lint it, then sign it.

A `Plan` holds the exact octets that will be signed and has passed every check already; making one needs no private
key. So a service can record the plan, then sign it, then answer, and finish it after a crash. We encode the signed part
ourselves (see `der`): names are copied as octets, so the issuer is byte-identical to the issuing certificate's subject
and a device's subject to that of its CSR, string types included.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki import der, encoding, lint, names, profiles
from ownroot.pki.profiles import Profile
from ownroot.pki.requests import DeviceCsr, KeyPolicy, VerifiedCsr
from ownroot.pki.serials import ISSUED_SERIAL_LIMIT, Serial
from ownroot.pki.signer import PrivateKey, PublicKey, signing_hash
from ownroot.pki.traits import Traits

# Registration and gateway clocks differ (registration.md §5.2).
DEVICE_BACKDATE: Final = timedelta(minutes=5)
MOST_SITE_BACKDATE: Final = timedelta(hours=1)
"""What a registration site may choose: a restored server tells by a certificate's beginning when a site made it."""
# An owner's own certificates begin when they are made, unless told otherwise.
_NONE: Final = timedelta()

_EMPTY_NAME: Final = der.sequence()
_SUBJECT_KEY_IDENTIFIER: Final = b"\x06\x03\x55\x1d\x0e"
_VERSION_3: Final = der.explicit(0, der.integer(2))
_ECDSA_WITH: Final = {
    # RFC 5758 §3.2: ecdsa-with-SHA256, -SHA384, -SHA512; no parameters.
    hashes.SHA256.name: bytes.fromhex("300a06082a8648ce3d040302"),
    hashes.SHA384.name: bytes.fromhex("300a06082a8648ce3d040303"),
    hashes.SHA512.name: bytes.fromhex("300a06082a8648ce3d040304"),
}


@dataclass(frozen=True, slots=True)
class IssuerTerms:
    """What every certificate of one issuer has in common. Read once per issuer, used for each of its certificates."""

    name_der: bytes
    public_key: PublicKey
    spki_der: bytes
    authority_key_identifier: bytes
    path_length: int | None
    not_after: datetime | None

    @classmethod
    def of(cls, issuer: "x509.Certificate | IssuerTerms") -> "IssuerTerms":
        """Read them from the issuing certificate.

        Raises:
            RefusedError: `issuer-not-ca`, `issuer-key`.
        """
        if isinstance(issuer, IssuerTerms):
            return issuer
        traits, key = Traits.of(issuer), issuer.public_key()
        if not traits.is_ca or (traits.key_usage is not None and not traits.key_usage.key_cert_sign):
            raise RefusedError("issuer-not-ca", "The issuing certificate is not that of a CA.")
        if not isinstance(key, ec.EllipticCurvePublicKey) or not KeyPolicy().accepts(key):
            raise RefusedError("issuer-key", "The key of the issuing CA is not EC P-256, P-384 or P-521.")
        # The SKI may be any hash, or absent; children must carry what the CA's certificate says.
        spki_der = encoding.spki_der(key)
        identifier = traits.subject_key_identifier or key_identifier(spki_der)
        return cls(
            name_der=encoding.subject_der(issuer),
            public_key=key,
            spki_der=spki_der,
            authority_key_identifier=_authority_key_identifier(identifier),
            path_length=traits.path_length,
            not_after=issuer.not_valid_after_utc,
        )

    def cut(self, end: datetime) -> datetime:
        """Return `end`, or the issuer's own end if that comes first."""
        return end if self.not_after is None else min(end, self.not_after)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA certificate with the private key that belongs to it.

    Args:
        backdate: how long before the signing the owner wants what this CA signs to begin, for clocks that are behind.
            Whoever plans a certificate for it passes it on.
    Raises:
        RefusedError: `issuer-key-mismatch`, and as `IssuerTerms.of`.
    """

    certificate: x509.Certificate
    key: PrivateKey
    backdate: timedelta = _NONE
    terms: IssuerTerms = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a pair that does not belong together: what it signs would verify nowhere."""
        terms = IssuerTerms.of(self.certificate)
        _demand_key(self.key, terms.public_key)
        object.__setattr__(self, "terms", terms)


class Requester(NamedTuple):
    """Whom a certificate is for: the subject as it will be written, and the key."""

    subject_der: bytes
    public_key: CertificatePublicKeyTypes


@dataclass(frozen=True, slots=True)
class Contents:
    """What a certificate is going to say, unchecked. The identifiers follow from the keys and the profile."""

    profile: Profile
    issuer: IssuerTerms
    subject_der: bytes
    public_key: CertificatePublicKeyTypes
    spki_der: bytes
    serial: Serial
    not_before: datetime
    not_after: datetime
    alternative_names: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """One certificate, checked and complete but for the signature: `signed_part` is its TBSCertificate."""

    contents: Contents
    signed_part: bytes


def plan_factory_root(
    factory: str, public_key: PublicKey, *, now: datetime, serial: Serial, backdate: timedelta = _NONE
) -> Plan:
    """Plan a self-signed factory root for the key of its owner; it begins so long before `now`.

    Raises:
        InvalidInputError: `name-too-long`, `key-not-accepted`, `serial-out-of-range`.
    Source: api.md §4, column Root.
    """
    subject = names.root_subject(factory).public_bytes()
    # The root signs itself: it has no issuing certificate that could limit it.
    terms = IssuerTerms(subject, public_key, b"", b"", path_length=None, not_after=None)
    contents = _owned(profiles.FACTORY_ROOT, terms, Requester(subject, public_key), now=now, serial=serial)
    contents = replace(contents, not_before=now - backdate)
    return _check_and_encode(contents, now)


def plan_device_ca(  # noqa: PLR0913  (the terms of one certificate)
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    issuer: x509.Certificate | IssuerTerms,
    *,
    now: datetime,
    serial: Serial,
    backdate: timedelta = _NONE,
) -> Plan:
    """Plan a device CA under a factory root; `subject` is written as it is, and it begins so long before `now`.

    A local CA takes `names.local_ca_subject`, an online CA `names.reencode_subject` of its CSR's subject.

    Raises:
        InvalidInputError: `key-not-accepted`, `subject-empty`, `serial-out-of-range`.
        RefusedError: `issuer-path-length`, `issuer-own-key`, `issuer-expired`, and as `IssuerTerms.of`.
    Source: api.md §4, column Device CA.
    """
    requester = Requester(subject.public_bytes(), public_key)
    contents = _owned(profiles.DEVICE_CA, IssuerTerms.of(issuer), requester, now=now, serial=serial)
    contents = replace(contents, not_before=now - backdate)
    return _check_and_encode(contents, now)


def plan_gateway_tls(
    csr: VerifiedCsr,
    issuer: x509.Certificate | IssuerTerms,
    *,
    now: datetime,
    serial: Serial,
    backdate: timedelta = _NONE,
) -> Plan:
    """Plan the TLS certificate of a gateway or EST server from its CSR; only DNS names are taken over.

    Devices verify it by their own clock: `backdate` is how far that may be behind.

    Raises:
        InvalidInputError: `csr-dns-names` when there is none, `dns-name-invalid`, and as `plan_device_ca`.
        RefusedError: as `plan_device_ca`.
    Source: api.md §4, column TLS; §3.2 rule 4.
    """
    if not csr.dns_names:
        raise InvalidInputError("csr-dns-names", "The CSR names no DNS host; devices could not verify its certificate.")
    dns_names = [x509.DNSName(names.parse_dns_name(name)) for name in csr.dns_names]
    contents = _tls_contents(csr, issuer, dns_names, now=now, serial=serial)
    return _check_and_encode(replace(contents, not_before=now - backdate), now)


def plan_requested(
    csr: VerifiedCsr,
    issuer: x509.Certificate | IssuerTerms,
    *,
    now: datetime,
    serial: Serial,
    backdate: timedelta = _NONE,
) -> Plan:
    """Plan what a CSR of the owner's own asks for: a device CA if it requests CA:TRUE, else a TLS certificate.

    A requested path length is ignored (0 is written); alternative names of every kind are kept.

    Raises:
        InvalidInputError, RefusedError: as `plan_device_ca`.
    Source: api.md §4, `ca sign`.
    """
    if csr.wants_ca:
        subject = names.reencode_subject(csr.subject)
        return plan_device_ca(subject, csr.public_key, issuer, now=now, serial=serial, backdate=backdate)
    contents = _tls_contents(csr, issuer, list(csr.alternative_names or ()), now=now, serial=serial)
    return _check_and_encode(replace(contents, not_before=now - backdate), now)


def plan_device(  # noqa: PLR0913  (the terms of one certificate)
    csr: DeviceCsr,
    issuer: x509.Certificate | IssuerTerms,
    *,
    now: datetime,
    serial: Serial,
    validity: timedelta = timedelta(days=profiles.DEVICE.lifetime.days),
    backdate: timedelta = DEVICE_BACKDATE,
) -> Plan:
    """Plan a device certificate: the CSR's subject as it is, back-dated, never longer than the CA lives.

    Args:
        issuer: the device CA; pass `Issuer.terms` where many certificates are issued.
        validity: counted from `now`.
        backdate: how long before `now` it begins, for clocks that are behind.

    Raises:
        InvalidInputError: `serial-out-of-range`, `validity-empty`.
        RefusedError: `issuer-expired`, `issuer-own-key`, and as `IssuerTerms.of`.
    Source: registration.md §5.2, column Ours.
    """
    terms = IssuerTerms.of(issuer)
    contents = Contents(
        profile=profiles.DEVICE,
        issuer=terms,
        subject_der=csr.verified.subject_der,
        public_key=csr.verified.public_key,
        spki_der=csr.verified.spki_der,
        serial=serial,
        not_before=now - backdate,
        not_after=terms.cut(now + validity),
    )
    return _check_and_encode(contents, now)


def sign_plan(plan: Plan, key: PrivateKey) -> x509.Certificate:
    """Lint a planned certificate, then sign it with its issuer's key.

    Returns: the certificate alone; callers that need the chain append the CA.

    Raises:
        RefusedError: `lint-failed`, before the key was used; `issuer-key-mismatch`.
        KeyStoreError: the key store would not sign.
    """
    contents, signer = plan.contents, plan.contents.issuer.public_key
    _demand_key(key, signer)
    algorithm = signature_algorithm(signer)
    lint.lint_certificate(plan.signed_part, algorithm, _intent(contents))
    signature = key.sign(plan.signed_part, ec.ECDSA(signing_hash(signer)))
    return x509.load_der_x509_certificate(der.sequence(plan.signed_part, algorithm, der.bit_string(signature)))


def signature_algorithm(key: PublicKey) -> bytes:
    """Return the AlgorithmIdentifier of what this key signs, in DER."""
    return _ECDSA_WITH[signing_hash(key).name]


def key_identifier(spki_der: bytes) -> bytes:
    """Return the leftmost 160 bits of SHA-256 over the subjectPublicKey bits (RFC 7093 §2 method 1)."""
    _algorithm, key = der.read(der.read_one(spki_der, der.SEQUENCE).content)
    return encoding.sha256(key.content[1:])[:20]


def _tls_contents(
    csr: VerifiedCsr,
    issuer: x509.Certificate | IssuerTerms,
    alternative_names: Sequence[x509.GeneralName],
    *,
    now: datetime,
    serial: Serial,
) -> Contents:
    requester = Requester(names.reencode_subject(csr.subject).public_bytes(), csr.public_key)
    contents = _owned(profiles.GATEWAY_TLS, IssuerTerms.of(issuer), requester, now=now, serial=serial)
    if alternative_names:
        extension = x509.SubjectAlternativeName(alternative_names)
        contents = replace(contents, alternative_names=profiles.encode_extension(extension, critical=False))
    return contents


def _owned(profile: Profile, issuer: IssuerTerms, requester: Requester, *, now: datetime, serial: Serial) -> Contents:
    """Fill in one of the owner's own certificates: it begins now and lives for whole years."""
    if not KeyPolicy().accepts(requester.public_key):
        raise InvalidInputError("key-not-accepted", "The key is not accepted; use EC P-256, P-384 or P-521.")
    return Contents(
        profile=profile,
        issuer=issuer,
        subject_der=requester.subject_der,
        public_key=requester.public_key,
        spki_der=encoding.spki_der(requester.public_key),
        serial=serial,
        not_before=now,
        not_after=issuer.cut(profile.lifetime.end(now)),
    )


def _check_and_encode(contents: Contents, now: datetime) -> Plan:
    _check(contents, now)
    return Plan(contents, _signed_part(contents))


def _check(contents: Contents, now: datetime) -> None:
    issuer = contents.issuer
    if issuer.not_after is not None and issuer.not_after <= now:
        raise RefusedError("issuer-expired", "The issuing CA has expired; it can sign nothing any more.")
    if issuer.spki_der == contents.spki_der:
        raise RefusedError("issuer-own-key", "A CA does not certify its own key a second time.")
    if contents.profile.is_ca and issuer.path_length == 0:
        raise RefusedError("issuer-path-length", "The issuing CA (path length 0) must not certify another CA.")
    if not 0 < contents.serial < ISSUED_SERIAL_LIMIT:
        raise InvalidInputError("serial-out-of-range", "A serial number of ours is positive and below 2^159.")
    if contents.not_before >= contents.not_after:
        raise InvalidInputError("validity-empty", "The certificate would end before it begins.")
    if contents.subject_der == _EMPTY_NAME:
        raise InvalidInputError("subject-empty", "Nothing is left of the requested subject.")


def _signed_part(contents: Contents) -> bytes:
    """Write the TBSCertificate (RFC 5280 §4.1)."""
    profile, issuer = contents.profile, contents.issuer
    subject_id = _subject_key_identifier(contents.spki_der) if profile.has_subject_key_identifier else b""
    issuer_id = issuer.authority_key_identifier if profile.has_authority_key_identifier else b""
    return der.sequence(
        _VERSION_3,
        der.integer(contents.serial),
        signature_algorithm(issuer.public_key),
        issuer.name_der,
        der.sequence(der.time(contents.not_before), der.time(contents.not_after)),
        contents.subject_der,
        contents.spki_der,
        der.explicit(3, der.sequence(profile.fixed_extensions, subject_id, issuer_id, contents.alternative_names)),
    )


def _intent(contents: Contents) -> lint.CertificateIntent:
    return lint.CertificateIntent(
        profile=contents.profile.name,
        signer=contents.issuer.public_key,
        issuer_der=contents.issuer.name_der,
        subject_der=contents.subject_der,
        spki_der=contents.spki_der,
        serial=contents.serial,
        not_before=contents.not_before,
        not_after=contents.not_after,
        authority_key_identifier=contents.issuer.authority_key_identifier,
        alternative_names=contents.alternative_names,
    )


def _demand_key(key: PrivateKey, expected: PublicKey) -> None:
    if key.public_key() != expected:
        raise RefusedError("issuer-key-mismatch", "The private key does not belong to the issuing certificate.")


def _subject_key_identifier(spki_der: bytes) -> bytes:
    value = der.encode(der.OCTET_STRING, key_identifier(spki_der))
    return der.extension(_SUBJECT_KEY_IDENTIFIER, value, critical=False)


def _authority_key_identifier(identifier: bytes) -> bytes:
    return profiles.encode_extension(x509.AuthorityKeyIdentifier(identifier, None, None), critical=False)
