"""Read a CSR, then verify its signature, key and names. *Loaded* is not *verified*.

A `VerifiedCsr` exists only when the sender has proven possession of a key we accept; a `DeviceCsr` only when its
subject is that of a device besides. Requested extensions are looked at (names, CA:TRUE), never honoured by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from ownroot.errors import InvalidInputError
from ownroot.pki import der, encoding, names
from ownroot.pki.names import DeviceUuid, FactoryName
from ownroot.pki.signer import PrivateKey, signing_hash

_ACCEPTED_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
STRONG_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_ECDSA: Final = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)
_MAX_RSA_BITS: Final = 8192
_MAX_RSA_EXPONENT: Final = (1 << 32) - 1

_DAMAGED: Final = "The certificate signing request is damaged or uses something we do not support."
_COMMON_NAME: Final = bytes.fromhex("0603550403")
_ORGANIZATIONAL_UNIT: Final = bytes.fromhex("060355040b")
_BUSINESS_CATEGORY: Final = bytes.fromhex("060355040f")
_DEVICE_ATTRIBUTES: Final = frozenset({_COMMON_NAME, _ORGANIZATIONAL_UNIT, _BUSINESS_CATEGORY})


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Which public keys we accept: EC P-256, P-384, P-521 always; RSA from 2048 bits where a factory allows it."""

    allow_rsa: bool = False

    def accepts(self, key: CertificatePublicKeyTypes) -> bool:
        """Say whether this key may be certified or used. Cheap: nothing is computed with the key."""
        if isinstance(key, ec.EllipticCurvePublicKey):
            return isinstance(key.curve, _ACCEPTED_CURVES)
        if not (self.allow_rsa and isinstance(key, rsa.RSAPublicKey)):
            return False
        # Both bounds on top keep a stranger's key from costing us seconds of arithmetic.
        return 2048 <= key.key_size <= _MAX_RSA_BITS and 3 <= key.public_numbers().e <= _MAX_RSA_EXPONENT


_DEFAULT_POLICY: Final = KeyPolicy()


@dataclass(frozen=True, slots=True)
class VerifiedCsr:
    """A CSR whose signature proves possession of an accepted key.

    `subject_der` is the subject as encoded in the request, or as `as_production` completed it. `alternative_names`
    holds every requested name, `dns_names` the DNS ones in their order.
    """

    csr: x509.CertificateSigningRequest
    public_key: CertificatePublicKeyTypes
    spki_der: bytes
    spki_sha256: bytes
    subject_der: bytes
    alternative_names: x509.SubjectAlternativeName | None
    wants_ca: bool

    @property
    def subject(self) -> x509.Name:
        """Return the requested subject."""
        return self.csr.subject

    @property
    def dns_names(self) -> tuple[str, ...]:
        """Return the requested DNS names, in order."""
        return tuple(self.alternative_names.get_values_for_type(x509.DNSName)) if self.alternative_names else ()


@dataclass(frozen=True, slots=True)
class DeviceCsr:
    """A verified CSR whose subject is a device's. The factory is as written in the OU; whose it is, is not checked."""

    verified: VerifiedCsr
    uuid: DeviceUuid
    factory: FactoryName
    production: bool


def verify_csr(csr: x509.CertificateSigningRequest, *, policy: KeyPolicy | None = None) -> VerifiedCsr:
    """Verify key, hash and signature of a CSR, the key first: a hostile one must not cost a verification.

    Raises:
        InvalidInputError: `csr-weak-key`, `csr-weak-hash`, `csr-signature`, `csr-malformed`.
    Source: RFC 2986 §3; registration.md §5.3.
    """
    with encoding.refusing("csr-malformed", _DAMAGED):
        key = csr.public_key()
    return _verify(csr, key, policy or _DEFAULT_POLICY)


def read_device_csr(text: str, *, policy: KeyPolicy | None = None) -> DeviceCsr:
    """Read and verify a device's CSR from PEM text.

    Raises:
        InvalidInputError: as `encoding.parse_csr` and `device_csr`.
    """
    csr, key = encoding.parse_csr_and_key(text)
    return _device(_verify(csr, key, policy or _DEFAULT_POLICY))


def device_csr(csr: x509.CertificateSigningRequest, *, policy: KeyPolicy | None = None) -> DeviceCsr:
    """Verify a device's CSR: one CN (the UUID), one OU (the factory), at most one businessCategory, nothing else.

    Raises:
        InvalidInputError: as `verify_csr`; `csr-wants-ca`, `csr-subject`, `csr-subject-encoding`,
            `device-uuid-invalid`, `factory-name-invalid`.
    """
    return _device(verify_csr(csr, policy=policy))


def as_production(csr: DeviceCsr) -> DeviceCsr:
    """Return the request as that of a production device, by the issuer's decision; the mark comes last."""
    if csr.production:
        return csr
    mark = der.sequence(_BUSINESS_CATEGORY, der.encode(der.UTF8_STRING, names.PRODUCTION.encode()))
    rdns = der.read_one(csr.verified.subject_der, der.SEQUENCE).content
    subject = der.sequence(rdns, der.encode(der.SET, mark))
    return replace(csr, verified=replace(csr.verified, subject_der=subject), production=True)


def make_csr(key: PrivateKey, subject: x509.Name, dns_names: Sequence[str] = ()) -> x509.CertificateSigningRequest:
    """Make a CSR for this key; DNS names, if any, become its subjectAltName in the given order."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if dns_names:
        alternative_names = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
        builder = builder.add_extension(alternative_names, critical=False)
    return builder.sign(key, signing_hash(key.public_key()))


def _verify(csr: x509.CertificateSigningRequest, key: CertificatePublicKeyTypes, policy: KeyPolicy) -> VerifiedCsr:
    with encoding.refusing("csr-malformed", _DAMAGED):
        if not policy.accepts(key):
            raise InvalidInputError("csr-weak-key", "The key of the CSR is not accepted; use EC P-256, P-384 or P-521.")
        if not isinstance(csr.signature_hash_algorithm, STRONG_HASHES):
            raise InvalidInputError("csr-weak-hash", "The CSR is not signed with SHA-256, SHA-384 or SHA-512.")
        if not _is_signed_by(csr, key):
            raise InvalidInputError("csr-signature", "The CSR's signature does not verify with the key it holds.")
        wants_ca, alternative_names = _requested(csr)
        return VerifiedCsr(
            csr=csr,
            public_key=key,
            spki_der=(spki := encoding.spki_der(key)),
            spki_sha256=encoding.sha256(spki),
            subject_der=encoding.csr_subject_der(csr),
            alternative_names=alternative_names,
            wants_ca=wants_ca,
        )


def _is_signed_by(csr: x509.CertificateSigningRequest, key: CertificatePublicKeyTypes) -> bool:
    """Verify the signature with the CSR's own key, which `csr.is_signature_valid` would load another time."""
    algorithm = csr.signature_hash_algorithm
    if algorithm is None or not isinstance(key, ec.EllipticCurvePublicKey) or csr.signature_algorithm_oid not in _ECDSA:
        return csr.is_signature_valid
    try:
        key.verify(csr.signature, csr.tbs_certrequest_bytes, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _device(verified: VerifiedCsr) -> DeviceCsr:
    if verified.wants_ca:
        raise InvalidInputError("csr-wants-ca", "The CSR asks for a CA certificate; a device gets none.")
    with encoding.refusing("csr-malformed", _DAMAGED):
        attributes = _device_attributes(verified.subject_der)
    category = attributes.get(_BUSINESS_CATEGORY)
    if category not in {None, names.PRODUCTION}:
        raise InvalidInputError("csr-subject", "The businessCategory of a device is 'production' or absent.")
    return DeviceCsr(
        verified=verified,
        uuid=names.parse_device_uuid(attributes[_COMMON_NAME]),
        factory=names.parse_factory_ou(attributes[_ORGANIZATIONAL_UNIT]),
        production=category is not None,
    )


def _requested(csr: x509.CertificateSigningRequest) -> tuple[bool, x509.SubjectAlternativeName | None]:
    wants_ca, alternative_names = False, None
    for extension in csr.extensions:
        if extension.oid == ExtensionOID.BASIC_CONSTRAINTS:
            wants_ca = extension.value.ca
        elif extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
            alternative_names = extension.value
    return wants_ca, alternative_names


def _device_attributes(subject: bytes) -> dict[bytes, str]:
    """Read a device's subject as attribute type -> text, refusing anything a device certificate must not carry."""
    attributes: dict[bytes, str] = {}
    for rdn in der.read(der.read_one(subject, der.SEQUENCE).content):
        # One attribute per RDN; `read_one` would call a multi-valued RDN malformed, which it is not.
        pairs = [list(der.read(pair.content)) for pair in der.read(rdn.content)]
        if len(pairs) != 1 or len(pairs[0]) != 2:
            raise _odd_subject()
        kind, value = pairs[0]
        if kind.raw not in _DEVICE_ATTRIBUTES or kind.raw in attributes:
            raise _odd_subject()
        attributes[kind.raw] = _text(value)
    if not {_COMMON_NAME, _ORGANIZATIONAL_UNIT} <= attributes.keys():
        raise _odd_subject()
    return attributes


def _text(value: der.Element) -> str:
    if value.tag not in {der.UTF8_STRING, der.PRINTABLE_STRING}:
        # RFC 5280 §4.1.2.4: a CA encodes names as PrintableString or UTF8String, and we copy these as they are.
        raise InvalidInputError("csr-subject-encoding", "The CSR's subject is neither PrintableString nor UTF8String.")
    return value.content.decode("utf-8")


def _odd_subject() -> InvalidInputError:
    return InvalidInputError(
        "csr-subject",
        "The subject of a device's CSR has one CN (the UUID), one OU (the factory), "
        "optionally one businessCategory, and nothing else.",
    )
