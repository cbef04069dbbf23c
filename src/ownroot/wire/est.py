"""Bodies of EST, Enrolment over Secure Transport (RFC 7030), as devices send and read them.

Every body is base64 of DER (RFC 8951 §3.1): lines of any length are read, and PEM armour around a request is tolerated,
since `openssl req` writes it and programs forget to strip it.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import load_certificate_der

BASE_PATH: Final = "/.well-known/est"
CSR_TYPE: Final = "application/pkcs10"
CERTIFICATES_TYPE: Final = "application/pkcs7-mime; smime-type=certs-only"
ATTRIBUTES_TYPE: Final = "application/csrattrs"
ISSUER_HEADER: Final = "Ownroot-Issuer"
"""Beside a renewed certificate: the device CA that signed it, which its holder may know nothing of."""

# RFC 7030 §4.5.2 with RFC 8951 §3.2: a key on P-256 and ecdsa-with-SHA256 will do; other curves are taken as well.
_ATTRIBUTES: Final = bytes.fromhex("3021301506072a8648ce3d0201310a06082a8648ce3d03010706082a8648ce3d040302")
_BEGIN: Final = (b"-----BEGIN CERTIFICATE REQUEST-----", b"-----BEGIN NEW CERTIFICATE REQUEST-----")
_END: Final = (b"-----END CERTIFICATE REQUEST-----", b"-----END NEW CERTIFICATE REQUEST-----")
_LINE: Final = 64


def parse_enrolment(content_type: str, body: bytes) -> bytes:
    """Return the CSR of an enrolment in DER, unread.

    Args:
        content_type: value of `Content-Type`; parameters are ignored.
    Raises:
        InvalidInputError: `est-content-type`, `est-base64`.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != CSR_TYPE:
        raise InvalidInputError(
            "est-content-type", f"The body must be {CSR_TYPE}, the CSR as base64: send Content-Type."
        )
    try:
        csr = base64.b64decode(b"".join(_without_armour(body).split()), validate=True)
    except binascii.Error as exc:
        raise InvalidInputError("est-base64", "The body is not base64 of a CSR in DER.") from exc
    if not csr:
        raise InvalidInputError("est-base64", "The body is empty; a CSR in DER as base64 belongs there.")
    return csr


def certificates_body(certificates: Sequence[x509.Certificate]) -> bytes:
    """Return certificates as a SignedData that signs nothing (RFC 5652 §5.1, "certs-only"), in base64.

    A device takes the first certificate it finds, and DER sorts them: so a device's own goes alone.
    """
    return _base64(pkcs7.serialize_certificates(list(certificates), Encoding.DER))


def parse_certificates_body(body: bytes) -> Sequence[x509.Certificate]:
    """Read what `certificates_body` wrote, or another server of this protocol.

    Raises:
        InvalidInputError: `est-answer`.
    """
    try:
        return pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(body.split()), validate=True))
    except ValueError as exc:
        raise InvalidInputError("est-answer", "The EST server's answer holds no certificates we can read.") from exc


def issuer_header(issuer_der: bytes) -> str:
    """Return a certificate as a byte sequence of a structured field (RFC 8941 §3.3.5), as RFC 9440 writes them."""
    return f":{base64.b64encode(issuer_der).decode('ascii')}:"


def parse_issuer_header(value: str) -> x509.Certificate | None:
    """Read what `issuer_header` wrote; None if it is anything else. Nothing about it is verified."""
    text = value.strip()
    try:
        der = base64.b64decode(text.strip(":"), validate=True)
        return load_certificate_der(der) if text.startswith(":") else None
    except (ValueError, InvalidInputError):
        return None


def attributes_body() -> bytes:
    """Return what a CSR may hold (RFC 7030 §4.5.2), in base64."""
    return _base64(_ATTRIBUTES)


def _without_armour(body: bytes) -> bytes:
    text = body.strip()
    for begin, end in zip(_BEGIN, _END, strict=True):
        if text.startswith(begin) and text.endswith(end):
            return text[len(begin) : -len(end)]
    return text


def _base64(der: bytes) -> bytes:
    text = base64.b64encode(der)
    return b"\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE)) + b"\n"
