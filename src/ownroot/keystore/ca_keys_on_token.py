"""Online CA keys of a server on a token (HSM, PKCS#11): made there, used there, destroyed there.

What callers of the API may learn of a token that does not serve is its code. The rest, what the token is called and
which others are in reach, travels as the error's context, for the log of the operator.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError, UnavailableError
from ownroot.keystore.pkcs11 import TokenPrivateKey
from ownroot.pki.signer import PrivateKey, PublicKey

# These end without a change of the settings; a wrong PIN, say, does not.
_PASSING = frozenset({"token-busy", "token-failed", "token-gone", "token-unknown"})
_RETRY_AFTER_SECONDS = 30


class CaKeysOnToken:
    """Implements `services.token_keys.TokenKeys` on one token; safe to use from many threads.

    Args:
        module: the vendor's shared library.
        pin: one that the token refuses is not tried again by this process.

    Raises:
        KeyStoreError: `pkcs11-missing`, `hsm-module-missing`, `hsm-module-unusable`. Nothing is asked of the token yet.
    """

    def __init__(self, module: Path, token_label: str, pin: str) -> None:
        try:
            from ownroot.keystore import pkcs11_ca_keys, pkcs11_keys, pkcs11_token  # noqa: PLC0415
        except ImportError as exc:
            raise KeyStoreError(
                "pkcs11-missing", "Keys on a token need one more package; install it: pip install 'ownroot[hsm]'."
            ) from exc
        self._pairs = pkcs11_ca_keys
        self._keys = pkcs11_keys
        self._token = pkcs11_token.Token.open(module, token_label, pin)
        # Only signatures are made side by side. Objects that come and go under each other's eyes confuse modules.
        self._changing = threading.Lock()

    def create(self, key_id: bytes, label: str) -> PublicKey:
        """Make a P-256 key under this id; it is stored on the token on return.

        Raises:
            UnavailableError, KeyStoreError: the token does not serve.
        """
        with _said_outside(), self._changing:
            return self._pairs.create_pair(self._token, key_id, label)

    def open(self, key_id: bytes, label: str, public_key: PublicKey) -> PrivateKey:
        """Return a key that signs on the token. Nothing is asked of the token before that.

        Every signature is verified before it is handed out, so what lies under this id is the key it should be, or
        signs nothing: `key-mismatch`.
        """
        key = self._keys.TokenKey(label, key_id, public_key)
        return _ProvenKey(public_key, lambda digest: self._sign(key, digest))

    def ids(self, prefix: str) -> frozenset[bytes]:
        """Return the ids of keys whose label begins so, of which half a key is enough."""
        with _said_outside(), self._changing:
            return self._pairs.ids_of(self._token, prefix)

    def destroy(self, key_id: bytes, prefix: str) -> None:
        """Destroy the key of this id if its label begins so; no error if there is none."""
        with _said_outside(), self._changing:
            self._pairs.destroy_pair(self._token, key_id, prefix)

    def require(self, key_id: bytes | None) -> None:
        """Find out that the token serves, and has this key: `key-gone` if not."""
        with _said_outside():
            self._pairs.require_key(self._token, key_id)

    def close(self) -> None:
        """Close all sessions and log out."""
        self._token.release()

    def _sign(self, key: Any, digest: bytes) -> bytes:
        with _said_outside():
            return self._keys.sign_digest(self._token, key, digest)


class _ProvenKey(TokenPrivateKey):
    """A key on a token that hands out no signature its public half does not verify."""

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        signature = super().sign(data, signature_algorithm)
        try:
            self.public_key().verify(signature, data, signature_algorithm)
        except InvalidSignature as exc:
            raise _outward(
                KeyStoreError("key-mismatch", "The key on the token is not the one that the certificate names.")
            ) from exc
        return signature


@contextmanager
def _said_outside() -> Iterator[None]:
    try:
        yield
    except KeyStoreError as error:
        raise _outward(error) from error


def _outward(error: KeyStoreError) -> KeyStoreError | UnavailableError:
    detail = (
        f"The token that holds the keys of online device CAs does not serve ({error.code}). "
        "The server's operator finds the reason in its log."
    )
    context = {**error.context, "cause": error.detail}
    if error.code in _PASSING:
        return UnavailableError(error.code, detail, retry_after=_RETRY_AFTER_SECONDS, context=context)
    return KeyStoreError(error.code, detail, context=context)
