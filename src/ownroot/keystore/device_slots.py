"""The places of a registered device's identity on its token, as a device program uses them."""

from functools import partial
from pathlib import Path

from ownroot.errors import KeyStoreError
from ownroot.keystore.pkcs11 import TokenPrivateKey
from ownroot.pki.signer import PrivateKey, PublicKey


class DeviceSlots:
    """Objects by their ids on one token. Nothing is asked of it before the first use; close it.

    While one of these is open, a PIN that the token refused is not tried again by any other of this process.

    Args:
        module: the vendor's shared library.
        label: of the token.
        pin: the user's.
    Raises:
        KeyStoreError: `pkcs11-missing`, `hsm-module-missing`, `hsm-module-unusable`.
    """

    def __init__(self, module: Path, label: str, pin: str) -> None:
        try:
            from ownroot.keystore import pkcs11_slots, pkcs11_token  # noqa: PLC0415
        except ImportError as exc:
            raise KeyStoreError(
                "pkcs11-missing", "Keys on a token need one more package; install it: pip install 'ownroot[hsm]'."
            ) from exc
        self._slots = pkcs11_slots
        self._token = pkcs11_token.Token.open(module, label, pin)

    def find_key(self, key_id: bytes) -> PrivateKey | None:
        """Return the key in a place, None if there is none. Good while this is open. Raises as `find_keys`."""
        return self.find_keys(key_id)[0]

    def find_keys(self, *key_ids: bytes) -> tuple[PrivateKey | None, ...]:
        """Return the key in each of these places, None if there is none. Good while this is open.

        Raises:
            KeyStoreError: `slot-taken`, `key-public-missing`, `key-unsupported`, or why the token cannot serve.
        """
        found = self._slots.find_keys(self._token, *key_ids)
        return tuple(
            None if public is None else self._key(key_id, public) for key_id, public in zip(key_ids, found, strict=True)
        )

    def find_or_create_key(self, key_id: bytes) -> PrivateKey:
        """Return the key in a place; on the token on return. Raises as `find_keys`."""
        return self.find_key(key_id) or self._key(key_id, self._slots.create_key(self._token, key_id))

    def read_certificate(self, certificate_id: bytes) -> bytes | None:
        """Return the certificate in a place, DER, None if there is none. Raises as `find_keys`."""
        return self._slots.read_certificate(self._token, certificate_id)

    def write_certificate(self, certificate_id: bytes, certificate: bytes, *, subject: bytes) -> None:
        """Put a certificate in a place that is not in use; all DER. Raises as `find_keys`."""
        self._slots.write_certificate(self._token, certificate_id, certificate, subject=subject)

    def destroy(self, key_id: bytes, certificate_id: bytes) -> None:
        """Destroy a key and a certificate; no error if they are not there. Raises as `find_keys`."""
        self._slots.destroy_key(self._token, key_id)
        self._slots.destroy_certificate(self._token, certificate_id)

    def close(self) -> None:
        """Close all sessions and log out, unless this process has the token open elsewhere."""
        self._token.release()

    def _key(self, key_id: bytes, public: PublicKey) -> PrivateKey:
        return TokenPrivateKey(
            public,
            partial(self._slots.sign_digest, self._token, key_id),
            partial(self._slots.derive, self._token, key_id),
        )
