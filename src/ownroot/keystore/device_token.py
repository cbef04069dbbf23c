"""The token (TPM, secure element, HSM) that holds a device's identity, as a device program sees it."""

from pathlib import Path

from ownroot.errors import KeyStoreError
from ownroot.keystore.labels import DEVICE_HSM_LABEL, DEVICE_KEY_ID, DEVICE_KEY_LABEL
from ownroot.keystore.pkcs11 import TokenPrivateKey
from ownroot.pki.signer import PrivateKey


class DeviceToken:
    """The token `aktualizr`, opened; close it.

    Args:
        module: the vendor's shared library.
        so_pin, pin: the security officer's and the user's; a refused one is not tried again.
        may_initialize: make the token of the first uninitialised one if it is not there.

    Raises:
        KeyStoreError: `pkcs11-missing`, or as `prepare_token`.
    """

    def __init__(self, module: Path, *, so_pin: str, pin: str, may_initialize: bool) -> None:
        try:
            from ownroot.keystore import (  # noqa: PLC0415
                pkcs11_identity,
                pkcs11_keys,
                pkcs11_preparation,
                pkcs11_token,
            )
        except ImportError as exc:
            raise KeyStoreError(
                "pkcs11-missing", "Keys on a token need one more package; install it: pip install 'ownroot[hsm]'."
            ) from exc
        pkcs11_preparation.prepare_token(
            module, DEVICE_HSM_LABEL, so_pin=so_pin, pin=pin, may_initialize=may_initialize
        )
        self._identity = pkcs11_identity
        self._keys = pkcs11_keys
        self._token = pkcs11_token.Token.open(module, DEVICE_HSM_LABEL, pin)

    @property
    def serial(self) -> str:
        """The token's own serial number. Raises KeyStoreError if it does not serve."""
        return self._identity.serial_of(self._token)

    def labels_in_use(self) -> tuple[str, ...]:
        """Return which of the labels `tls` and `client` have objects. Raises KeyStoreError if it does not serve."""
        return self._identity.labels_in_use(self._token)

    def find_or_create_key(self) -> tuple[PrivateKey, bool]:
        """Return the key `tls` and whether it was there before; on the token on return.

        Raises:
            KeyStoreError: `key-unfit`: the key that is there may have been seen elsewhere, or is no P-256 key under the
                id 01; `token-full`, and as `find_key`.
        """
        found = self._keys.find_key(self._token, DEVICE_KEY_LABEL)
        if found is not None and not self._identity.is_fit(self._token):
            raise KeyStoreError(
                "key-unfit",
                f"The key {DEVICE_KEY_LABEL!r} on the token was not made there for good, or is no P-256 key under the "
                f"id 01. Delete it if nobody needs it: pkcs11-tool --delete-object, for both halves.",
            )
        if found is None:
            self._identity.discard_lone_public_key(self._token)
        key = found or self._keys.create_key(self._token, DEVICE_KEY_LABEL, DEVICE_KEY_ID)
        return TokenPrivateKey(
            key.public_key, lambda digest: self._keys.sign_digest(self._token, key, digest)
        ), found is not None

    def replace_certificate(self, certificate: bytes, *, subject: bytes) -> None:
        """Put the device's certificate on the token, in place of one that may be there; all DER.

        Raises:
            KeyStoreError: `token-full`, or why the token cannot serve.
        """
        self._identity.replace_certificate(self._token, certificate, subject=subject)

    def destroy_key(self) -> None:
        """Destroy the key `tls`. Raises KeyStoreError if the token does not serve."""
        self._identity.destroy_key(self._token)

    def close(self) -> None:
        """Close all sessions and log out."""
        self._token.release()
