"""Lint before sign: what is about to be signed is read back and judged before the real key touches it.

A mistake in a certificate that was signed cannot be taken back. So a twin is made under a throw-away key: the very
octets that are to be signed, in a certificate that verifies nowhere. An X.509 parser that is not ours reads the twin,
and it must say what was planned and contain exactly what its profile allows. The expected extensions are written down
here a second time, as the octets of the protocol's page, and not taken from `profiles`: a slip there shows here. The
signed certificate is put together from the very octets that were linted; a key store returns a signature and no more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

from ownroot.errors import RefusedError
from ownroot.pki import der, encoding
from ownroot.pki.signer import PublicKey, generate_key, signing_hash

_LONGEST_SERIAL_BITS: Final = 160  # 20 octets, and the highest bit stays free in what we issue

_KEY_USAGE: Final = ExtensionOID.KEY_USAGE
_EXTENDED_KEY_USAGE: Final = ExtensionOID.EXTENDED_KEY_USAGE
_BASIC_CONSTRAINTS: Final = ExtensionOID.BASIC_CONSTRAINTS
_SUBJECT_KEY_ID: Final = ExtensionOID.SUBJECT_KEY_IDENTIFIER
_AUTHORITY_KEY_ID: Final = ExtensionOID.AUTHORITY_KEY_IDENTIFIER
_ALTERNATIVE_NAMES: Final = ExtensionOID.SUBJECT_ALTERNATIVE_NAME

_DIGITAL_SIGNATURE: Final = "03020780"
_CERT_SIGN: Final = "03020204"
_CERT_AND_CRL_SIGN: Final = "03020106"
_SERVER_AUTH: Final = "300a06082b06010505070301"
_CLIENT_AUTH: Final = "300a06082b06010505070302"
_SERVER_AND_CLIENT_AUTH: Final = "301406082b0601050507030106082b06010505070302"
_NO_CA: Final = "3000"
_CA: Final = "30030101ff"
_CA_PATH_LENGTH_0: Final = "30060101ff020100"


@dataclass(frozen=True, slots=True)
class _Shape:
    """The extensions of one profile: what each must say (critical, value in hex), and which must or may be there."""

    fixed: Mapping[ObjectIdentifier, tuple[bool, str]]
    identifiers: frozenset[ObjectIdentifier]
    may_have: frozenset[ObjectIdentifier] = frozenset()


# api.md §4 and registration.md §5.2, column Ours.
_SHAPES: Final[Mapping[str, _Shape]] = {
    "factory-root": _Shape(
        {
            _KEY_USAGE: (True, _CERT_AND_CRL_SIGN),
            _EXTENDED_KEY_USAGE: (False, _SERVER_AND_CLIENT_AUTH),
            _BASIC_CONSTRAINTS: (True, _CA),
        },
        frozenset({_SUBJECT_KEY_ID}),
    ),
    "device-ca": _Shape(
        {_KEY_USAGE: (True, _CERT_SIGN), _BASIC_CONSTRAINTS: (True, _CA_PATH_LENGTH_0)},
        frozenset({_SUBJECT_KEY_ID, _AUTHORITY_KEY_ID}),
    ),
    "gateway-tls": _Shape(
        {_KEY_USAGE: (True, _DIGITAL_SIGNATURE), _EXTENDED_KEY_USAGE: (False, _SERVER_AUTH)},
        frozenset({_AUTHORITY_KEY_ID}),
        frozenset({_ALTERNATIVE_NAMES}),
    ),
    "device": _Shape(
        {
            _KEY_USAGE: (True, _DIGITAL_SIGNATURE),
            _EXTENDED_KEY_USAGE: (True, _CLIENT_AUTH),
            _BASIC_CONSTRAINTS: (True, _NO_CA),
        },
        frozenset({_SUBJECT_KEY_ID, _AUTHORITY_KEY_ID}),
    ),
}
_EMPTY_NAME: Final = der.sequence()
_CRL_EXTENSIONS: Final = frozenset({_AUTHORITY_KEY_ID, ExtensionOID.CRL_NUMBER})


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIntent:
    """What a certificate is meant to say; the parts that a profile does not fix.

    Args:
        profile: the name of one of `profiles`.
        signer: the public key that will verify the certificate; the twin is made on its curve.
        authority_key_identifier: the whole extension in DER, as the issuer's other certificates carry it.
    """

    profile: str
    signer: PublicKey
    issuer_der: bytes
    subject_der: bytes
    spki_der: bytes
    serial: int
    not_before: datetime
    not_after: datetime
    authority_key_identifier: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlIntent:
    """What a CRL is meant to say; `entries` are serials and reason codes in their order."""

    signer: PublicKey
    issuer_der: bytes
    this_update: datetime
    next_update: datetime
    entries: Sequence[tuple[int, int | None]]


def lint_certificate(signed_part: bytes, algorithm: bytes, intent: CertificateIntent) -> None:
    """Judge a TBSCertificate before it is signed.

    Args:
        algorithm: the AlgorithmIdentifier that will stand beside the signature, DER.

    Raises:
        RefusedError: `lint-failed`; the detail names each rule that was broken.
    Source: RFC 5280 §4.1, §4.2; api.md §4; registration.md §5.2.
    """
    try:
        twin = x509.load_der_x509_certificate(_twin(signed_part, algorithm, intent.signer))
        faults = [*_field_faults(twin, intent), *_extension_faults(twin.extensions, intent)]
    except encoding.FOREIGN_FAULTS as exc:
        raise _refused("certificate", [f"it cannot be read ({type(exc).__name__})"]) from exc
    if faults:
        raise _refused("certificate", faults)


def lint_crl(signed_part: bytes, algorithm: bytes, intent: CrlIntent) -> None:
    """Judge a TBSCertList before it is signed. Raises as `lint_certificate`.

    Source: RFC 5280 §5.1, §5.2, §5.3; api.md §4 (CRL).
    """
    try:
        twin = x509.load_der_x509_crl(_twin(signed_part, algorithm, intent.signer))
        faults = list(_crl_faults(twin, intent))
    except encoding.FOREIGN_FAULTS as exc:
        raise _refused("CRL", [f"it cannot be read ({type(exc).__name__})"]) from exc
    if faults:
        raise _refused("CRL", faults)


def _twin(signed_part: bytes, algorithm: bytes, signer: PublicKey) -> bytes:
    return der.sequence(signed_part, algorithm, _throw_away_signature(signer.curve.name))


@cache
def _throw_away_signature(curve: str) -> bytes:
    """A signature of a key nobody keeps, over nothing: what is judged is what stands before it (BIT STRING).

    One for each curve: on the hot path of registration a fresh one would cost as much as all of the lint.
    """
    key = generate_key({"secp384r1": ec.SECP384R1, "secp521r1": ec.SECP521R1}.get(curve, ec.SECP256R1)())
    return der.bit_string(key.sign(b"", ec.ECDSA(signing_hash(key.public_key()))))


def _field_faults(twin: x509.Certificate, intent: CertificateIntent) -> Iterable[str]:
    issuer_der, subject_der, spki_der = encoding.names_and_key_der(twin)
    if twin.version is not x509.Version.v3:
        yield "the version is not 3"
    if twin.serial_number != intent.serial or not 0 < twin.serial_number < 1 << (_LONGEST_SERIAL_BITS - 1):
        yield "the serial is not the planned one, positive and of 20 octets at most"
    if issuer_der != intent.issuer_der:
        yield "the issuer is not byte for byte the subject of the issuing CA"
    if subject_der != intent.subject_der or subject_der == _EMPTY_NAME:
        yield "the subject is not the planned one, or empty"
    if spki_der != intent.spki_der:
        yield "the public key is not the applicant's"
    if (twin.not_valid_before_utc, twin.not_valid_after_utc) != (intent.not_before, intent.not_after):
        yield "the validity is not the planned one"
    if twin.not_valid_before_utc >= twin.not_valid_after_utc:
        yield "it ends before it begins"
    if not _is_hash_of(twin.signature_hash_algorithm, intent.signer):
        yield "the signature algorithm does not match the curve of the issuing key"


def _extension_faults(extensions: x509.Extensions, intent: CertificateIntent) -> Iterable[str]:
    shape = _SHAPES[intent.profile]
    found = {extension.oid: extension for extension in extensions}
    must_have = shape.fixed.keys() | shape.identifiers
    for oid in must_have - found.keys():
        yield f"the extension {oid.dotted_string} is missing"
    for oid in found.keys() - must_have - shape.may_have:
        yield f"the extension {oid.dotted_string} does not belong there"
    for oid in found.keys() & shape.fixed.keys():
        critical, value = shape.fixed[oid]
        if (found[oid].critical, found[oid].value.public_bytes().hex()) != (critical, value):
            yield f"the extension {oid.dotted_string} does not say what the profile says"
    for oid in found.keys() - shape.fixed.keys():
        if found[oid].critical:
            yield f"the extension {oid.dotted_string} must not be critical"
    authority = found.get(_AUTHORITY_KEY_ID)
    if authority is not None and not intent.authority_key_identifier.endswith(authority.value.public_bytes()):
        yield "the authority key identifier is not the issuing CA's"


def _crl_faults(twin: x509.CertificateRevocationList, intent: CrlIntent) -> Iterable[str]:
    if twin.issuer.public_bytes() != intent.issuer_der:
        yield "the issuer is not byte for byte the subject of the root"
    if (twin.last_update_utc, twin.next_update_utc) != (intent.this_update, intent.next_update):
        yield "the dates are not the planned ones"
    if intent.next_update <= intent.this_update:
        yield "it ends before it begins"
    if [(entry.serial_number, _reason(entry)) for entry in twin] != list(intent.entries) or not intent.entries:
        yield "the entries are not the planned ones, or there is none"
    if {extension.oid for extension in twin.extensions} != _CRL_EXTENSIONS:
        yield "the extensions are not authority key identifier and CRL number"
    if any(e.critical for e in twin.extensions) or any(e.critical for entry in twin for e in entry.extensions):
        yield "no extension may be critical"
    if not _is_hash_of(twin.signature_hash_algorithm, intent.signer):
        yield "the signature algorithm does not match the curve of the root key"


def _reason(entry: x509.RevokedCertificate) -> int | None:
    """The reason's number; an entry has no other extension."""
    numbers = [extension.value.public_bytes()[-1] for extension in entry.extensions]
    return numbers[0] if numbers else None


def _is_hash_of(found: object, signer: PublicKey) -> bool:
    return isinstance(found, type(signing_hash(signer)))


def _refused(kind: str, faults: Sequence[str]) -> RefusedError:
    return RefusedError(
        "lint-failed",
        f"The {kind} was not signed, since it would break its profile: {'; '.join(faults)}. This is a fault of "
        "Ownroot; nothing was issued.",
    )
