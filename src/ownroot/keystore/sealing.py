"""Sealing: private keys of the backend at rest are AES-256-GCM text, readable only with the key-encryption key.

What a sealed value is for is authenticated with it (`bound_to`), so that swapping two rows of a table, or a CA's key
for a TLS key, fails to open instead of putting the wrong key into service.
"""

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ownroot.errors import KeyStoreError

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE_BYTES = 12  # random per value; SP 800-38D §8.3 allows 2^32 values under one key, we seal thousands


class Sealer:
    """Seals and opens under one key.

    Args:
        key: 32 bytes.
        random: gives nonces; never the same twice under one key.
    """

    def __init__(self, key: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        if len(key) != KEY_BYTES:
            raise KeyStoreError("sealing-key-size", f"A sealing key has {KEY_BYTES} bytes, this one {len(key)}.")
        self._cipher = AESGCM(key)
        self._random = random

    def seal(self, plaintext: bytes, *, bound_to: bytes) -> bytes:
        """Return version, nonce, text and tag. `bound_to` is not stored; whoever opens must know it."""
        nonce = self._random(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plaintext, _VERSION + bound_to)

    def open(self, sealed: bytes, *, bound_to: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            KeyStoreError: `sealed-unreadable`: another key-encryption key, another binding, or a damaged value.
        """
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(nonce, text, _VERSION + bound_to)
        except (InvalidTag, ValueError) as exc:
            raise KeyStoreError(
                "sealed-unreadable",
                "A private key of this server cannot be opened: the key-encryption key is not the one it was sealed "
                "with, or the stored value is damaged. Restore the key-encryption key that belongs to this database.",
            ) from exc
