"""Private keys of the backend: made here, kept sealed, opened by those who hold the sealer for their purpose.

A key that lies on a token has a row like any other. What is sealed there is not the key but what it is (`describe`), so
that whoever can write to the database, and does not hold the sealer, cannot put another object in its place.
"""

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
from ownroot.services.records import SealedKey, SealedKeyPurpose
from ownroot.services.token_keys import CaToken, KeyOnToken, describe, read_description


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
        token: where online CA keys are made. None: here, and those on a token cannot be used.
    """

    def __init__(self, sealers: Mapping[SealedKeyPurpose, Sealer], token: CaToken | None = None) -> None:
        self._sealers = dict(sealers)
        self._token = token

    @property
    def token(self) -> CaToken | None:
        """Where online CA keys are made."""
        return self._token

    def make(self, purpose: SealedKeyPurpose) -> tuple[PrivateKey, SealedKey]:
        """Make a P-256 key; it exists only in memory until the sealed form is stored."""
        key = generate_key()
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        spki = spki_sha256(key.public_key())
        return key, SealedKey(spki, purpose, self.sealer(purpose).seal(der, bound_to=_binding(purpose, spki)))

    def seal_description(self, purpose: SealedKeyPurpose, key: KeyOnToken) -> SealedKey:
        """Return the row of a key that lies on a token."""
        spki = spki_sha256(key.public_key)
        sealed = self.sealer(purpose).seal(describe(key), bound_to=_binding_on_token(purpose, spki))
        return SealedKey(spki, purpose, sealed, key.id)

    def open(self, sealed: SealedKey) -> PrivateKey:
        """Return the private key. A token is not asked before the key signs.

        Raises:
            KeyStoreError: `sealed-unreadable`; `key-purpose`: this process may not open keys of that purpose;
                `online-ca-token-missing`: it lies on a token, and this process has none.
        """
        if sealed.token_key_id is not None:
            return self._open_on_token(sealed, sealed.token_key_id)
        binding = _binding(sealed.purpose, sealed.spki_sha256)
        der = self.sealer(sealed.purpose).open(sealed.sealed, bound_to=binding)
        key = load_der_private_key(der, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or spki_sha256(key.public_key()) != sealed.spki_sha256:
            raise KeyStoreError("sealed-unreadable", "A stored private key is not the one its entry names.")
        return key

    def _open_on_token(self, sealed: SealedKey, key_id: bytes) -> PrivateKey:
        binding = _binding_on_token(sealed.purpose, sealed.spki_sha256)
        key = read_description(self.sealer(sealed.purpose).open(sealed.sealed, bound_to=binding))
        if key.id != key_id or spki_sha256(key.public_key) != sealed.spki_sha256:
            raise KeyStoreError("sealed-unreadable", "A stored private key is not the one its entry names.")
        if self._token is None:
            raise no_token()
        return self._token.open(key)

    def sealer(self, purpose: SealedKeyPurpose) -> Sealer:
        """Return what seals for a purpose. Raises KeyStoreError `key-purpose`: this process was not given it."""
        sealer = self._sealers.get(purpose)
        if sealer is None:
            raise KeyStoreError("key-purpose", f"This process does not hold the key that opens {purpose.value} keys.")
        return sealer


def no_token() -> KeyStoreError:
    """Say that a key lies on a token, and that the settings name none."""
    return KeyStoreError(
        "online-ca-token-missing",
        "The key of an online device CA lies on a token, and the server's settings name none. Its operator names it in "
        "[online_ca] again (module, token_label); or the owner adds another CA: `ownroot keys ca add-device-ca "
        "--online-ca`.",
    )


def _binding(purpose: SealedKeyPurpose, spki: bytes) -> bytes:
    return b"private-key:" + purpose.value.encode() + b":" + spki


def _binding_on_token(purpose: SealedKeyPurpose, spki: bytes) -> bytes:
    return b"key-on-token:" + purpose.value.encode() + b":" + spki
