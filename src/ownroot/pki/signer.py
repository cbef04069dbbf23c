"""What signs: private keys as values, and the places that hold them.

A key on hardware is an ordinary `PrivateKey` to its users (a subclass of cryptography's class whose `sign` runs on the
token). Nothing in `pki` exports a private key.
"""

from typing import Protocol, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey
PublicKey: TypeAlias = ec.EllipticCurvePublicKey


class KeyStore(Protocol):
    """A place that holds private keys under labels."""

    def create(self, label: str) -> PrivateKey:
        """Make a P-256 key under a free label; durable on return.

        Raises:
            KeyStoreError: the label is taken, or the store cannot serve.
        """
        ...

    def find(self, label: str) -> PrivateKey | None:
        """Return the key under this label, or None if there is none.

        Raises:
            KeyStoreError: the store cannot be read, which is never reported as "none".
        """
        ...


def generate_key(curve: ec.EllipticCurve | None = None) -> PrivateKey:
    """Make a key in memory; P-256 unless told otherwise."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def signing_hash(key: PublicKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """Return the hash whose strength matches the curve of the signing key (RFC 5480 §4)."""
    if key.curve.key_size <= 256:
        return hashes.SHA256()
    return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()
