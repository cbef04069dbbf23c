"""Private keys of the backend: made here, kept sealed, opened by those who hold the sealer for their purpose."""

from collections.abc import Mapping
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from ownroot.errors import KeyStoreError
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.signer import PrivateKey, generate_key
from ownroot.services.ports import SealedKey, SealedKeyPurpose


class Sealer(Protocol):
    """Authenticated encryption under one key; `bound_to` must be the same on both sides.

    `open` raises KeyStoreError for anything `seal` of this sealer did not return.
    """

    def seal(self, plaintext: bytes, *, bound_to: bytes) -> bytes: ...
    def open(self, sealed: bytes, *, bound_to: bytes) -> bytes: ...


class Keyring:
    """Makes and opens the backend's keys.

    Args:
        sealers: by purpose; a process that must not open keys of a purpose does not get its sealer.
    """

    def __init__(self, sealers: Mapping[SealedKeyPurpose, Sealer]) -> None:
        self._sealers = dict(sealers)

    def make(self, purpose: SealedKeyPurpose) -> tuple[PrivateKey, SealedKey]:
        """Make a P-256 key; it exists only in memory until the sealed form is stored."""
        key = generate_key()
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        spki = spki_sha256(key.public_key())
        return key, SealedKey(spki, purpose, self._sealer(purpose).seal(der, bound_to=_binding(purpose, spki)))

    def open(self, sealed: SealedKey) -> PrivateKey:
        """Return the private key.

        Raises:
            KeyStoreError: `sealed-unreadable`; `key-purpose`: this process may not open keys of that purpose.
        """
        binding = _binding(sealed.purpose, sealed.spki_sha256)
        der = self._sealer(sealed.purpose).open(sealed.sealed, bound_to=binding)
        key = load_der_private_key(der, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or spki_sha256(key.public_key()) != sealed.spki_sha256:
            raise KeyStoreError("sealed-unreadable", "A stored private key is not the one its entry names.")
        return key

    def _sealer(self, purpose: SealedKeyPurpose) -> Sealer:
        sealer = self._sealers.get(purpose)
        if sealer is None:
            raise KeyStoreError("key-purpose", f"This process does not hold the key that opens {purpose.value} keys.")
        return sealer


def _binding(purpose: SealedKeyPurpose, spki: bytes) -> bytes:
    return b"private-key:" + purpose.value.encode() + b":" + spki
