"""Lint before sign: what is about to be signed is read back and judged before the real key touches it.

A mistake in a certificate that was signed cannot be taken back. So a twin is made under a throw-away key: the very
octets that are to be signed, in a certificate that verifies nowhere. An X.509 parser that is not ours reads the twin,
and the octets themselves must be what was planned and exactly what the profile allows. The expected extensions are
written down here a second time, whole and as octets, and not taken from `profiles`: a slip there shows here. The
signed certificate is put together from the very octets that were linted; a key store returns a signature and no more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import RefusedError
from ownroot.pki import der, encoding
from ownroot.pki.signer import PublicKey, generate_key, signing_hash

_ISSUED_SERIAL_BITS: Final = 159  # 20 octets with the sign bit
_VERSION_3: Final = bytes.fromhex("a003020102")
_VERSION_2: Final = bytes.fromhex("020101")
_CRL_NUMBER_1: Final = bytes.fromhex("300a0603551d140403020101")
_EMPTY_NAME: Final = b"\x30\x00"
_FIELDS: Final = 8  # version, serial, algorithm, issuer, validity, subject, key, extensions
_CRL_FIELDS: Final = 7  # version, algorithm, issuer, two dates, entries, extensions

# Whole extensions (RFC 5280 §4.1): OID, criticality, value.
_CRITICAL_DIGITAL_SIGNATURE: Final = bytes.fromhex("300e0603551d0f0101ff040403020780")
_CRITICAL_CERT_SIGN: Final = bytes.fromhex("300e0603551d0f0101ff040403020204")
_CRITICAL_CERT_AND_CRL_SIGN: Final = bytes.fromhex("300e0603551d0f0101ff040403020106")
_SERVER_AUTH: Final = bytes.fromhex("30130603551d25040c300a06082b06010505070301")
_CRITICAL_CLIENT_AUTH: Final = bytes.fromhex("30160603551d250101ff040c300a06082b06010505070302")
_SERVER_AND_CLIENT_AUTH: Final = bytes.fromhex("301d0603551d250416301406082b0601050507030106082b06010505070302")
_CRITICAL_NO_CA: Final = bytes.fromhex("300c0603551d130101ff04023000")
_CRITICAL_CA: Final = bytes.fromhex("300f0603551d130101ff040530030101ff")
_CRITICAL_CA_PATH_LENGTH_0: Final = bytes.fromhex("30120603551d130101ff040830060101ff020100")
_PLAIN_AUTHORITY_KEY_IDENTIFIER: Final = bytes.fromhex("0603551d2304")  # the value follows at once
_SUBJECT_KEY_IDENTIFIER: Final = bytes.fromhex("301d0603551d0e04160414")  # and the 20 octets of the hash


@dataclass(frozen=True, slots=True)
class _Shape:
    """What one profile contains: fixed extensions, and which of the identifiers."""

    fixed: tuple[bytes, ...]
    has_subject_key_identifier: bool
    has_authority_key_identifier: bool


# api.md §4 and registration.md §5.2, column Ours.
_SHAPES: Final[Mapping[str, _Shape]] = {
    "factory-root": _Shape((_CRITICAL_CERT_AND_CRL_SIGN, _SERVER_AND_CLIENT_AUTH, _CRITICAL_CA), True, False),
    "device-ca": _Shape((_CRITICAL_CERT_SIGN, _CRITICAL_CA_PATH_LENGTH_0), True, True),
    "gateway-tls": _Shape((_CRITICAL_DIGITAL_SIGNATURE, _SERVER_AUTH), False, True),
    "device": _Shape((_CRITICAL_DIGITAL_SIGNATURE, _CRITICAL_CLIENT_AUTH, _CRITICAL_NO_CA), True, True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIntent:
    """What a certificate is meant to say; the parts that a profile does not fix.

    Args:
        profile: the name of one of `profiles`.
        signer: the public key that will verify the certificate; the twin is made on its curve.
        authority_key_identifier: the whole extension in DER, as every certificate of this issuer carries it.
        alternative_names: the whole extension in DER; empty for none.
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
    alternative_names: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlIntent:
    """What a CRL is meant to say; `entries` are serials and reason codes in their order."""

    signer: PublicKey
    issuer_der: bytes
    this_update: datetime
    next_update: datetime
    entries: Sequence[tuple[int, int | None]]
    authority_key_identifier: bytes


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
        _ = twin.extensions  # read for the faults it raises: doubled ones, values of another shape
        faults = [*_value_faults(twin, intent), *_octet_faults(signed_part, algorithm, intent)]
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
        _ = twin.extensions
        faults = [*_crl_value_faults(twin, intent), *_crl_octet_faults(signed_part, intent)]
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


def _value_faults(twin: x509.Certificate, intent: CertificateIntent) -> Iterable[str]:
    if twin.serial_number != intent.serial or not 0 < twin.serial_number < 1 << _ISSUED_SERIAL_BITS:
        yield "the serial is not the planned one, positive and of 20 octets at most"
    if (twin.not_valid_before_utc, twin.not_valid_after_utc) != (intent.not_before, intent.not_after):
        yield "the validity is not the planned one"
    if intent.not_before >= intent.not_after:
        yield "it ends before it begins"
    if not isinstance(twin.signature_hash_algorithm, type(signing_hash(intent.signer))):
        yield "the signature algorithm does not match the curve of the issuing key"


def _octet_faults(signed_part: bytes, algorithm: bytes, intent: CertificateIntent) -> Iterable[str]:
    fields = list(der.read(der.read_one(signed_part, der.SEQUENCE).content))
    if len(fields) != _FIELDS or fields[0].raw != _VERSION_3:
        yield "it is not of version 3 with extensions and without unique identifiers"
        return
    if fields[2].raw != algorithm:
        yield "the algorithm inside is not the one beside the signature"
    if fields[3].raw != intent.issuer_der:
        yield "the issuer is not byte for byte the subject of the issuing CA"
    if fields[5].raw != intent.subject_der or intent.subject_der == _EMPTY_NAME:
        yield "the subject is not the planned one, or empty"
    if fields[6].raw != intent.spki_der:
        yield "the public key is not the applicant's"
    yield from _extension_faults(fields[7].content, intent)
    if intent.authority_key_identifier and intent.authority_key_identifier[2:8] != _PLAIN_AUTHORITY_KEY_IDENTIFIER:
        yield "the authority key identifier must not be critical"


def _extension_faults(content: bytes, intent: CertificateIntent) -> Iterable[str]:
    found = {extension.raw for extension in der.read(der.read_one(content, der.SEQUENCE).content)}
    wanted = set(_extensions(intent))
    for extension in sorted(wanted - found):
        yield f"the extension {extension.hex()} is missing"
    for extension in sorted(found - wanted):
        yield f"the extension {extension.hex()} is not what the profile and the plan say"


def _extensions(intent: CertificateIntent) -> Iterable[bytes]:
    shape = _SHAPES[intent.profile]
    yield from shape.fixed
    if shape.has_subject_key_identifier:
        _algorithm, key = der.read(der.read_one(intent.spki_der, der.SEQUENCE).content)
        yield _SUBJECT_KEY_IDENTIFIER + encoding.sha256(key.content[1:])[:20]  # RFC 7093 §2 method 1
    if shape.has_authority_key_identifier:
        yield intent.authority_key_identifier
    if intent.alternative_names:
        yield intent.alternative_names


def _crl_value_faults(twin: x509.CertificateRevocationList, intent: CrlIntent) -> Iterable[str]:
    if (twin.last_update_utc, twin.next_update_utc) != (intent.this_update, intent.next_update):
        yield "the dates are not the planned ones"
    if intent.next_update <= intent.this_update:
        yield "it ends before it begins"
    if not isinstance(twin.signature_hash_algorithm, type(signing_hash(intent.signer))):
        yield "the signature algorithm does not match the curve of the root key"


def _crl_octet_faults(signed_part: bytes, intent: CrlIntent) -> Iterable[str]:
    # That the algorithm inside is the one outside the parser demands of a CRL itself.
    fields = list(der.read(der.read_one(signed_part, der.SEQUENCE).content))
    if len(fields) != _CRL_FIELDS or fields[0].raw != _VERSION_2:
        yield "it is not of version 2 with entries and extensions"
        return
    if fields[2].raw != intent.issuer_der:
        yield "the issuer is not byte for byte the subject of the root"
    if fields[5].content != b"".join(_crl_entries(intent)):
        yield "the entries are not the planned ones"
    if fields[6].content != der.sequence(intent.authority_key_identifier, _CRL_NUMBER_1):
        yield "the extensions are not the root's key identifier and the CRL number 1"


def _crl_entries(intent: CrlIntent) -> Iterable[bytes]:
    for serial, reason in intent.entries:
        value = b"" if reason is None else bytes.fromhex(f"300c300a0603551d1504030a01{reason:02x}")
        yield der.sequence(der.integer(serial), der.time(intent.this_update), value)


def _refused(kind: str, faults: Sequence[str]) -> RefusedError:
    return RefusedError(
        "lint-failed",
        f"The {kind} was not signed, since it would break its profile: {'; '.join(faults)}. This is a fault of "
        "Ownroot; nothing was issued.",
    )
