"""What a device may ask for when it renews its certificate: the one it has, over a key it proves, and nothing more.

The new certificate repeats the subject of the old one octet for octet, so the request must too: a name that only means
the same would lock the device out (protocol: gateway.md §7.1). Whose certificate the old one is, and whether its device
is welcome, is decided elsewhere.
"""

from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, ExtensionOID

from ownroot.errors import InvalidInputError
from ownroot.pki import profiles
from ownroot.pki.encoding import load_csr_der, subject_der
from ownroot.pki.requests import VerifiedCsr, verify_csr

_EXTENSION_REQUEST: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
_KEY_USAGE: Final = profiles.key_usage(digital_signature=True)
_EXTENDED_KEY_USAGE: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


def read_reenrolment(data: bytes, current: x509.Certificate) -> VerifiedCsr:
    """Read and verify a CSR that renews `current`.

    Args:
        data: the CSR, DER.
        current: what its sender showed; the caller knows whose it is.

    Raises:
        InvalidInputError: `csr-too-large`, `csr-malformed`, `csr-weak-key` (RSA included), `csr-weak-hash`,
            `csr-signature`, `csr-other-subject`, `csr-attribute`, `csr-extension`, `csr-key-usage`,
            `csr-extended-key-usage`, `csr-alternative-names`.
    Source: RFC 7030 §4.2.2; protocol gateway.md §7.1.
    """
    csr = verify_csr(load_csr_der(data))
    if csr.subject_der != subject_der(current):
        raise InvalidInputError(
            "csr-other-subject",
            "The subject of the CSR is not byte for byte that of the certificate it renews. Copy the name as it is, "
            "string types and order included.",
        )
    _check_attributes(csr.csr.attributes)
    for extension in csr.csr.extensions:
        _check_extension(extension)
    return csr


def _check_attributes(attributes: Iterable[x509.Attribute]) -> None:
    requests = 0
    for attribute in attributes:
        if attribute.oid == AttributeOID.CHALLENGE_PASSWORD:
            # RFC 7030 §3.5: it would link the request to the TLS session, which TLS 1.3 has no value for.
            raise InvalidInputError("csr-attribute", "The CSR holds a challengePassword; none is asked for here.")
        if attribute.oid != _EXTENSION_REQUEST:
            raise InvalidInputError(
                "csr-attribute", f"The CSR holds the attribute {attribute.oid.dotted_string}; only extensions may be."
            )
        requests += 1
    if requests > 1:
        raise InvalidInputError("csr-attribute", "The CSR requests extensions in more than one place.")


def _check_extension(extension: x509.Extension[x509.ExtensionType]) -> None:
    match extension.oid:
        case ExtensionOID.KEY_USAGE if extension.value != _KEY_USAGE:
            raise InvalidInputError("csr-key-usage", "The CSR asks for a key usage other than digitalSignature alone.")
        case ExtensionOID.EXTENDED_KEY_USAGE if extension.value != _EXTENDED_KEY_USAGE:
            raise InvalidInputError(
                "csr-extended-key-usage", "The CSR asks for an extended key usage other than clientAuth alone."
            )
        case ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
            raise InvalidInputError("csr-alternative-names", "The CSR asks for alternative names; a device has none.")
        case ExtensionOID.KEY_USAGE | ExtensionOID.EXTENDED_KEY_USAGE:
            return
        case _:
            raise InvalidInputError(
                "csr-extension",
                f"The CSR asks for the extension {extension.oid.dotted_string}; a device may name key usages only.",
            )
