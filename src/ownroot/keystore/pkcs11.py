"""Private keys on a token (PKCS#11): a smart card, an HSM, or SoftHSM2 (protocol: api.md §7).

Keys are generated on the token as sensitive and not extractable, and never leave it. To its users such a key is an
ordinary `PrivateKey` whose `sign` runs on the token. Keys that other programs made there are found by their label, so
`pkcs11-tool` and both builds of the other client of this protocol (ids 0x01 and 0x31) share a token with us.

The extra `hsm` brings what is needed; it is imported when a store is opened.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ownroot.errors import KeyStoreError
from ownroot.keystore.labels import require_label
from ownroot.pki.signer import PrivateKey, PublicKey


class Pkcs11KeyStore:
    """The keys of one token; label `x` is the label (CKA_LABEL) of a private and a public object.

    Safe to use from many threads and after a fork. Sessions are opened as they are needed and closed by `close`.

    Args:
        module: the vendor's shared library.
        token_label: which token of it.
        pin: the user's PIN; one that the token refuses is not tried again.

    Raises:
        KeyStoreError: `pkcs11-missing`, `hsm-module-missing`, `hsm-module-unusable`. Nothing is asked of the token yet.
    """

    def __init__(self, module: Path, token_label: str, pin: str) -> None:
        try:
            from ownroot.keystore import pkcs11_ed25519, pkcs11_keys, pkcs11_token  # noqa: PLC0415
        except ImportError as exc:
            raise KeyStoreError(
                "pkcs11-missing", "Keys on a token need one more package; install it: pip install 'ownroot[hsm]'."
            ) from exc
        self._keys = pkcs11_keys
        self._ed25519 = pkcs11_ed25519
        self._token = pkcs11_token.Token.open(module, token_label, pin)

    def create(self, label: str) -> PrivateKey:
        """Generate a P-256 key on the token, not extractable; the root's label `root-ca` gets the id 0x01.

        Raises:
            KeyStoreError: `key-exists` (nothing was touched), `key-label`, or why the token cannot serve.
        """
        require_label(label)
        return self._private_key(self._keys.create_key(self._token, label))

    def find(self, label: str) -> PrivateKey | None:
        """Return the key under this label, whatever its id and whoever made it; None if there is none.

        Raises:
            KeyStoreError: `key-ambiguous`, `key-unsupported`, `key-public-missing`, `key-mismatch`, `key-label`, or why
                the token cannot serve.
        """
        require_label(label)
        key = self._keys.find_key(self._token, label)
        return None if key is None else self._private_key(key)

    def create_ed25519(self, label: str) -> "TokenEd25519Key":
        """Generate an Ed25519 key on the token, not extractable. Raises as `create`."""
        require_label(label)
        return self._ed25519_key(label, self._ed25519.create_key(self._token, label))

    def find_ed25519(self, label: str) -> "TokenEd25519Key | None":
        """Return the Ed25519 key under this label; None if there is none. Raises as `find`."""
        require_label(label)
        public = self._ed25519.find_key(self._token, label)
        return None if public is None else self._ed25519_key(label, public)

    def close(self) -> None:
        """Close all sessions and log out, unless another store of this process uses the same token."""
        self._token.release()

    def _ed25519_key(self, label: str, public: bytes) -> "TokenEd25519Key":
        return TokenEd25519Key(public, lambda data: self._ed25519.sign(self._token, label, data))

    def _private_key(self, key: Any) -> PrivateKey:
        return TokenPrivateKey(key.public_key, lambda digest: self._keys.sign_digest(self._token, key, digest))


class TokenPrivateKey(ec.EllipticCurvePrivateKey):
    """A private key that stays on its token.

    Args:
        sign_digest: signs a digest on the token; returns the DER sequence of r and s.
        derive: does ECDH on the token with an uncompressed point; None: this key signs and nothing else.
    """

    def __init__(
        self,
        public_key: PublicKey,
        sign_digest: Callable[[bytes], bytes],
        derive: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._public_key = public_key
        self._sign_digest = sign_digest
        self._derive = derive

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Hash here, sign on the token. Returns DER.

        Raises:
            KeyStoreError: `signature-unsupported`: not plain ECDSA; or why the token cannot serve.
        """
        if not isinstance(signature_algorithm, ec.ECDSA) or signature_algorithm.deterministic_signing:
            raise KeyStoreError("signature-unsupported", "A key on a token signs with plain ECDSA only.")
        return self._sign_digest(_digest(bytes(data), signature_algorithm.algorithm))

    def public_key(self) -> PublicKey:
        """Return the public half, an ordinary key."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """The size of the curve's order in bits."""
        return self._public_key.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Do ECDH on the token; returns the shared secret.

        Raises:
            KeyStoreError: `key-signs-only`: this key was made to sign and nothing else; or why the token cannot serve.
        """
        if self._derive is None:
            raise KeyStoreError("key-signs-only", "This key on a token signs and does nothing else.")
        return self._derive(peer_public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def private_numbers(self) -> NoReturn:
        """Refuse: a key on a token never leaves it."""
        raise _not_exportable()

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:  # noqa: A002
        """Refuse: a key on a token never leaves it."""
        raise _not_exportable()

    def __copy__(self) -> "TokenPrivateKey":
        return self

    def __deepcopy__(self, memo: Any) -> "TokenPrivateKey":
        return self

    def __reduce__(self) -> NoReturn:
        raise _not_exportable()


class TokenEd25519Key(ed25519.Ed25519PrivateKey):
    """An Ed25519 key that stays on its token.

    Args:
        public: 32 octets.
        sign: signs on the token; returns the 64 octets of RFC 8032.
    """

    def __init__(self, public: bytes, sign: Callable[[bytes], bytes]) -> None:
        self._public_key = ed25519.Ed25519PublicKey.from_public_bytes(public)
        self._sign = sign

    def sign(self, data: Any) -> bytes:
        """Sign on the token. Raises KeyStoreError when it cannot serve."""
        return self._sign(bytes(data))

    def public_key(self) -> ed25519.Ed25519PublicKey:
        """Return the public half, an ordinary key."""
        return self._public_key

    def private_bytes_raw(self) -> NoReturn:
        """Refuse: a key on a token never leaves it."""
        raise _not_exportable()

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:  # noqa: A002
        """Refuse: a key on a token never leaves it."""
        raise _not_exportable()

    def __copy__(self) -> "TokenEd25519Key":
        return self

    def __deepcopy__(self, memo: Any) -> "TokenEd25519Key":
        return self

    def __reduce__(self) -> NoReturn:
        raise _not_exportable()


def _digest(data: bytes, algorithm: Prehashed | hashes.HashAlgorithm) -> bytes:
    if isinstance(algorithm, Prehashed):
        if len(data) != algorithm.digest_size:
            raise KeyStoreError("signature-unsupported", f"A digest of {algorithm.digest_size} bytes was announced.")
        return data
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize()


def _not_exportable() -> KeyStoreError:
    return KeyStoreError("key-not-exportable", "This private key never leaves the token that holds it.")
