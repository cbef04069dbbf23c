"""Strict PEM and DER, one object or a bundle.

The rule of this module: **what it returns never surprises later.** `cryptography` reads lazily and raises from
properties; here everything a caller may touch is read once, under one guard, so a certificate, CSR or CRL from these
functions answers every question without raising. *Parsed* says nothing about trust: no signature is checked here.

Text around PEM blocks is tolerated (`openssl x509 -text` writes some), inside them nothing but base64 is.
"""

import base64
import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ownroot.errors import InvalidInputError
from ownroot.pki import der

MAX_OBJECT_OCTETS: Final = 16 * 1024
MAX_CRL_OCTETS: Final = 256 * 1024
MAX_BUNDLE_CERTIFICATES: Final = 256
MAX_BUNDLE_CHARS: Final = 1024 * 1024
# RFC 5280 §4.1.2.2 wants 20 octets at most, and some clients write 21 (a leading zero). Far longer ones cannot even be
# printed: Python turns no number of more than 4,300 digits into text.
MAX_SERIAL_BITS: Final = 256

_CERTIFICATE = ("CERTIFICATE",)
_CSR = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_CRL = ("X509 CRL",)
_PUBLIC_KEY = ("PUBLIC KEY",)
_BOUNDARY = re.compile(r"-----(BEGIN|END) ([A-Z0-9][A-Z0-9 ]{0,62})-----[ \t\r]*")
# What a person would take for a boundary must be one: a bundle never loses a certificate to a missing hyphen.
# The length is bounded: without it, a line of many "END " takes time by the square of its length.
_BOUNDARY_LIKE = re.compile(r"-\s*(?:BEGIN|END)|(?:BEGIN|END) [A-Z0-9 ]{0,63}+-")

# Everything `cryptography` is known to raise on hostile input. `Warning` is there for processes that turn the
# library's warnings (over-long common names, odd serials) into errors.
FOREIGN_FAULTS: Final = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    Warning,
    UnsupportedAlgorithm,
    InternalError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@contextmanager
def refusing(code: str, detail: str) -> Iterator[None]:
    """Turn what `cryptography` raises on bad input into an `InvalidInputError` of this code."""
    try:
        yield
    except FOREIGN_FAULTS as exc:
        raise InvalidInputError(code, detail, context={"cause": str(exc)}) from exc


def parse_certificate(text: str) -> x509.Certificate:
    """Read PEM text that holds exactly one certificate.

    Raises:
        InvalidInputError: `pem-missing`, `pem-too-many`, `pem-too-large`, `pem-wrong-type`, `pem-malformed`,
            `certificate-malformed`.
    """
    return load_certificate_der(_only_block(text, _CERTIFICATE, MAX_OBJECT_OCTETS))


def parse_certificates(text: str) -> tuple[x509.Certificate, ...]:
    """Read PEM text that holds one or more certificates, in the order they stand, duplicates included.

    Raises:
        InvalidInputError: as `parse_certificate`; `pem-too-many` beyond 256 certificates.
    """
    if len(text) > MAX_BUNDLE_CHARS:
        raise _too_large()
    blocks: list[bytes] = []
    for block in _blocks(text, _CERTIFICATE):
        if len(blocks) == MAX_BUNDLE_CERTIFICATES:
            raise InvalidInputError("pem-too-many", f"More than {MAX_BUNDLE_CERTIFICATES} certificates in one bundle.")
        blocks.append(block)
    if not blocks:
        raise _missing(_CERTIFICATE)
    return tuple(load_certificate_der(block) for block in blocks)


def parse_csr(text: str) -> x509.CertificateSigningRequest:
    """Read PEM text that holds exactly one certificate signing request; its signature is not verified.

    Raises:
        InvalidInputError: the `pem-` codes of `parse_certificate`, `csr-malformed`.
    """
    return parse_csr_and_key(text)[0]


def parse_csr_and_key(text: str) -> tuple[x509.CertificateSigningRequest, CertificatePublicKeyTypes]:
    """Do the same as `parse_csr` and return the key besides: loading a key a second time costs as much as the first.

    Raises:
        InvalidInputError: as `parse_csr`.
    """
    return _load_csr(_only_block(text, _CSR, MAX_OBJECT_OCTETS))


def parse_crl(text: str) -> x509.CertificateRevocationList:
    """Read PEM text that holds exactly one CRL; its signature is not verified.

    Raises:
        InvalidInputError: the `pem-` codes of `parse_certificate`, `crl-malformed`.
    """
    return load_crl_der(_only_block(text, _CRL, MAX_CRL_OCTETS))


def load_crl_der(data: bytes) -> x509.CertificateRevocationList:
    """Read one DER CRL; its signature is not verified.

    Raises:
        InvalidInputError: `crl-malformed`.
    """
    with refusing("crl-malformed", "The CRL is damaged or uses something we do not support."):
        crl = x509.load_der_x509_crl(data)
        # Touched for the faults they raise, see the module's rule.
        _ = crl.issuer, crl.extensions, crl.last_update_utc, crl.next_update_utc, crl.signature_hash_algorithm
        for entry in crl:
            _ = entry.extensions, entry.revocation_date_utc
            if entry.serial_number >= 1 << MAX_SERIAL_BITS:
                raise ValueError("a serial number longer than any is in the field")
    return crl


def load_certificate_der(data: bytes) -> x509.Certificate:
    """Read one DER certificate whose every property can be asked for without a surprise.

    Raises:
        InvalidInputError: `certificate-too-large`, `certificate-malformed`.
    """
    if len(data) > MAX_OBJECT_OCTETS:
        raise InvalidInputError("certificate-too-large", f"A certificate has at most {MAX_OBJECT_OCTETS} octets.")
    with refusing("certificate-malformed", "The certificate is damaged or uses something we do not support."):
        certificate = x509.load_der_x509_certificate(data)
        # Touched for the faults they raise, see the module's rule.
        _ = certificate.version, certificate.subject, certificate.issuer, certificate.extensions
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        _ = certificate.public_key(), certificate.signature_hash_algorithm
        serial = certificate.serial_number
    if not 0 <= serial < 1 << MAX_SERIAL_BITS:
        raise InvalidInputError(
            "certificate-malformed", "The certificate's serial number is negative, or longer than any is in the field."
        )
    return certificate


def load_csr_der(data: bytes) -> x509.CertificateSigningRequest:
    """Read one DER certificate signing request; its signature is not verified.

    Raises:
        InvalidInputError: `csr-too-large`, `csr-malformed`.
    """
    return _load_csr(data)[0]


def certificate_pem(certificate: x509.Certificate) -> str:
    """Return one PEM block that ends in exactly one newline."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def csr_pem(csr: x509.CertificateSigningRequest) -> str:
    """Return one PEM block that ends in exactly one newline (a second one breaks the reference client)."""
    return csr.public_bytes(Encoding.PEM).decode("ascii")


def crl_pem(crl: x509.CertificateRevocationList) -> str:
    """Return a CRL as PEM text with exactly one newline at its end."""
    return crl.public_bytes(Encoding.PEM).decode("ascii")


def certificate_der(certificate: x509.Certificate) -> bytes:
    """Return the certificate as it was read or signed, byte for byte."""
    return certificate.public_bytes(Encoding.DER)


def sha256(data: bytes) -> bytes:
    """Return SHA-256 over these octets."""
    return hashlib.sha256(data).digest()


def certificate_sha256(certificate: x509.Certificate) -> bytes:
    """Return the fingerprint: SHA-256 over the whole DER certificate."""
    return sha256(certificate_der(certificate))


def spki_der(public_key: CertificatePublicKeyTypes) -> bytes:
    """Return the SubjectPublicKeyInfo; equal keys give equal octets, however a certificate wrote them."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def parse_ec_public_key(text: str) -> ec.EllipticCurvePublicKey:
    """Read PEM text that holds exactly one SubjectPublicKeyInfo of an elliptic curve key; which curve is not judged.

    Raises:
        InvalidInputError: the `pem-` codes of `parse_certificate`, `public-key-malformed`.
    """
    block = _only_block(text, _PUBLIC_KEY, MAX_OBJECT_OCTETS)
    with refusing("public-key-malformed", "The public key is damaged, or no elliptic curve key."):
        key = load_der_public_key(block)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError("another kind of key")
    return key


def spki_sha256(public_key: CertificatePublicKeyTypes) -> bytes:
    """Return SHA-256 over `spki_der`, our name for a public key."""
    return sha256(spki_der(public_key))


def spki_pem(spki: bytes) -> str:
    """Return a DER SubjectPublicKeyInfo as a `PUBLIC KEY` block; the octets are not looked at."""
    text = b2a_base64(spki, newline=False).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def subject_der(certificate: x509.Certificate) -> bytes:
    """Return the subject exactly as encoded in the certificate."""
    return _tbs_fields(certificate)[4]


def issuer_der(certificate: x509.Certificate) -> bytes:
    """Return the issuer name exactly as encoded in the certificate."""
    return _tbs_fields(certificate)[2]


def csr_subject_der(csr: x509.CertificateSigningRequest) -> bytes:
    """Return the subject exactly as encoded in the CSR."""
    fields = der.read(next(der.read(csr.tbs_certrequest_bytes)).content)
    next(fields)  # version
    return next(fields).raw


def _load_csr(data: bytes) -> tuple[x509.CertificateSigningRequest, CertificatePublicKeyTypes]:
    if len(data) > MAX_OBJECT_OCTETS:
        raise InvalidInputError("csr-too-large", f"A CSR has at most {MAX_OBJECT_OCTETS} octets.")
    with refusing("csr-malformed", "The certificate signing request is damaged or uses something we do not support."):
        csr = x509.load_der_x509_csr(data)
        # Touched for the faults they raise, see the module's rule.
        _ = csr.subject, csr.extensions
        key = csr.public_key()
        _ = csr.signature_hash_algorithm
    return csr, key


def _tbs_fields(certificate: x509.Certificate) -> list[bytes]:
    """Return serial, algorithm, issuer, validity and subject as encoded; the optional version is left out."""
    content = next(der.read(certificate.tbs_certificate_bytes)).content
    fields = [field.raw for field in islice(der.read(content), 6)]
    return fields[1:] if fields[0][0] == 0xA0 else fields


def _only_block(text: str, labels: tuple[str, ...], max_octets: int) -> bytes:
    if len(text) > 2 * max_octets + 32 * 1024:  # base64 plus the text a person's tool may write around it
        raise _too_large()
    blocks = _blocks(text, labels)
    block = next(blocks, None)
    if block is None:
        raise _missing(labels)
    if next(blocks, None) is not None:
        raise InvalidInputError("pem-too-many", f"Expected exactly one PEM block '{labels[0]}', found more.")
    return block


def _blocks(text: str, labels: tuple[str, ...]) -> Iterator[bytes]:
    """Yield the content of each PEM block; one boundary out of place, damaged or of another type refuses the text."""
    label: str | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        if "-" not in line or not _BOUNDARY_LIKE.search(line):
            if label is not None:
                lines.append(line.rstrip(" \t\r"))
            continue
        boundary = _BOUNDARY.fullmatch(line)
        if boundary is None:
            raise InvalidInputError("pem-malformed", "A PEM boundary line is damaged.")
        kind, found = boundary.groups()
        if kind == "BEGIN" and label is None:
            if found not in labels:
                raise _wrong_type(found, labels)
            label, lines = found, []
        elif kind == "END" and found == label:
            yield _decode("".join(lines))
            label = None
        else:
            raise InvalidInputError("pem-malformed", "PEM boundary lines do not pair up.")
    if label is not None:
        raise InvalidInputError("pem-malformed", f"The PEM block '{label}' has no end.")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise InvalidInputError("pem-malformed", "A PEM block holds something that is not base64.") from exc


def _wrong_type(found: str, labels: tuple[str, ...]) -> InvalidInputError:
    detail = f"Expected a PEM block '{labels[0]}', found '{found}'."
    if found.endswith("PRIVATE KEY"):
        detail += " A private key never belongs here: treat it as exposed if it has left its owner's machine."
    return InvalidInputError("pem-wrong-type", detail)


def _missing(labels: tuple[str, ...]) -> InvalidInputError:
    return InvalidInputError("pem-missing", f"No PEM block '{labels[0]}' in the text.")


def _too_large() -> InvalidInputError:
    return InvalidInputError("pem-too-large", "The PEM text is larger than anything of its kind.")
