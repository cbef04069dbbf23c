"""Trust anchors for programs that verify devices with stock OpenSSL.

A trust anchor is a name and a key (RFC 5280 §6.1.1 d); a certificate is only the form in which programs read it. The
device CA itself does not do as one, for two reasons:

- OpenSSL goes on to the issuer of what is not self-signed, unless its caller asks for partial chains, and HAProxy does
  not. Giving it the root instead would let in devices of revoked CAs.
- Some tools write SHA-1 of the CA's key into a device certificate's authority key identifier while the CA's own subject
  key identifier is another hash. OpenSSL takes the two for different keys and finds no issuer (api.md §4.2).

So we write the CA's name and key once more as certificates that name themselves as their issuer, one for each key
identifier in use. Without any identifier one would do, but several CAs share a subject, and OpenSSL tries only the
first that fits. An anchor is trusted because it lies in the bundle: its signature is never looked at, and nobody has to
make one that means anything.
"""

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.pki.encoding import certificate_der, sha256
from ownroot.pki.profiles import key_usage
from ownroot.pki.traits import Traits

_CONTEXT: Final = b"ownroot synthetic anchor:"
# Below the order of P-256, so every digest cut to this is a private key.
_KEY_OCTETS: Final = 31


def synthetic_anchors(ca: x509.Certificate) -> tuple[x509.Certificate, ...]:
    """Return the anchors for a device CA: its name, key, serial and dates.

    The same CA always gives the same octets, so that a file which did not change stays as it is. They are "signed" by a
    key that anybody can compute: outside of a bundle no one may trust them, and no one has a reason to.

    Args:
        ca: a device CA with an EC key that the caller trusts.
    Returns: one or two; their key identifiers are the CA's own, if it has one, and the SHA-1 of its key.
    Source: RFC 5280 §6.1.1 (d), §4.2.1.2 method (1).
    """
    sha1 = x509.SubjectKeyIdentifier.from_public_key(ca.public_key()).digest
    own = Traits.of(ca).subject_key_identifier
    return tuple(_anchor(ca, identifier) for identifier in dict.fromkeys((own or sha1, sha1)))


def _anchor(ca: x509.Certificate, identifier: bytes) -> x509.Certificate:
    digest = sha256(_CONTEXT + certificate_der(ca))
    signer = ec.derive_private_key(int.from_bytes(digest[:_KEY_OCTETS], "big") + 1, ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(ca.subject)
        .issuer_name(ca.subject)
        .public_key(ca.public_key())
        .serial_number(ca.serial_number)
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(identifier), critical=False)
    )
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
