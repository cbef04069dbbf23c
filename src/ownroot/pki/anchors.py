"""Trust anchors for programs that verify devices with stock OpenSSL.

Some tools write SHA-1 of the CA's key into a device certificate's authority key identifier while the CA's own subject
key identifier is another hash. OpenSSL takes the two for different keys and finds no issuer (api.md §4.2). A second
anchor of the same name and key, whose identifier is the SHA-1, lets it find the key. An anchor is trusted because it
lies in the bundle, so its signature is never looked at, and nobody has to make one that means anything.
"""

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.pki.encoding import certificate_der, sha256
from ownroot.pki.profiles import key_usage
from ownroot.pki.serials import new_serial
from ownroot.pki.traits import Traits

_CONTEXT: Final = b"ownroot synthetic anchor:"
_NOBODY: Final = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "synthetic anchor, issued by nobody")])
# Below the order of P-256, so every digest cut to this is a private key.
_KEY_OCTETS: Final = 31


def synthetic_anchor(ca: x509.Certificate) -> x509.Certificate | None:
    """Return the anchor under which OpenSSL finds this CA by the SHA-1 of its key.

    The same CA always gives the same octets, so that a file which did not change stays as it is. Its "issuer" is a key
    that anybody can compute: no one may trust it, and no one has a reason to.

    Args:
        ca: a device CA that the caller trusts.
    Returns: None if the CA's own identifier is that SHA-1; it needs no twin.
    Source: api.md §4.2; RFC 5280 §4.2.1.2 method (1).
    """
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca.public_key())
    if Traits.of(ca).subject_key_identifier == identifier.digest:
        return None
    digest = sha256(_CONTEXT + certificate_der(ca))
    signer = ec.derive_private_key(int.from_bytes(digest[:_KEY_OCTETS], "big") + 1, ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(ca.subject)
        .issuer_name(_NOBODY)
        .public_key(ca.public_key())
        .serial_number(new_serial(lambda octets: digest[:octets]))
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(cert_sign=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
