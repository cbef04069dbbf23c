"""The token (TPM, secure element, HSM) that holds a device's identity, as a device program sees it."""

from functools import partial
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
                pkcs11_preparation,
                pkcs11_slots,
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
        self._slots = pkcs11_slots
        self._token = pkcs11_token.Token.open(module, DEVICE_HSM_LABEL, pin)

    @property
    def serial(self) -> str:
        """The token's own serial number. Raises KeyStoreError if it does not serve."""
        return self._identity.serial_of(self._token)

    def labels_in_use(self) -> tuple[str, ...]:
        """Return which of the labels `tls` and `client` have objects. Raises KeyStoreError if it does not serve."""
        return self._identity.labels_in_use(self._token)

    def find_or_create_key(self) -> tuple[PrivateKey, bool]:
        """Return the key `tls` under the id 01 and whether it was there before; on the token on return.

        One under the id 07 stays: a renewal made it, and it may be the device's until this registration is done.

        Raises:
            KeyStoreError: `key-unfit`: the key that is there may have been seen elsewhere, or is no P-256 key under one
                of the ids of a device; `token-full`, and as `DeviceSlots.find_key`.
        """
        if self._identity.is_unfit(self._token):
            raise KeyStoreError(
                "key-unfit",
                f"The key {DEVICE_KEY_LABEL!r} on the token was not made there for good, or is no P-256 key under the "
                f"id 01 or 07. Delete it if nobody needs it: pkcs11-tool --delete-object, for both halves.",
            )
        found = self._slots.find_key(self._token, DEVICE_KEY_ID)
        public = found or self._slots.create_key(self._token, DEVICE_KEY_ID)
        return TokenPrivateKey(
            public,
            partial(self._slots.sign_digest, self._token, DEVICE_KEY_ID),
            partial(self._slots.derive, self._token, DEVICE_KEY_ID),
        ), found is not None

    def replace_certificate(self, certificate: bytes, *, subject: bytes) -> None:
        """Put the device's certificate on the token, in place of one that may be there; all DER.

        Raises:
            KeyStoreError: `token-full`, or why the token cannot serve.
        """
        self._identity.replace_certificate(self._token, certificate, subject=subject)

    def destroy_key(self) -> None:
        """Destroy the key `tls` under the id 01. Raises KeyStoreError if the token does not serve."""
        self._slots.destroy_key(self._token, DEVICE_KEY_ID)

    def close(self) -> None:
        """Close all sessions and log out."""
        self._token.release()
