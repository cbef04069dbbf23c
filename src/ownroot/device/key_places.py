"""Where a device's key is: in a file of its directory, or on a token (TPM, secure element, HSM).

Whatever the place: the key is made once, is durable before anybody signs for it, and a run that was cut is resumed with
it. On a token the labels are the protocol's and others use them too, so a file notes on which token a registration of
ours is unfinished; only that makes an object of that name ours.

Source: registration.md §4 (overrides), §7.1, §7.3.
"""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography import x509

from ownroot.device.files import PENDING_FILE, read_pending, remove_pending, write_private
from ownroot.device.keys import find_or_create_key
from ownroot.errors import ConflictError, KeyStoreError, OwnrootError
from ownroot.keystore.device_token import DeviceToken
from ownroot.keystore.labels import DEVICE_CERTIFICATE_ID, DEVICE_KEY_ID
from ownroot.pki.encoding import certificate_der, subject_der
from ownroot.pki.signer import PrivateKey
from ownroot.wire.sota_toml import TOKEN_OVERRIDES, Overrides, TokenSettings, append_token_settings


class KeyPlace(Protocol):
    """What a registration does with the place of its key, in this order."""

    overrides: Overrides

    def begin(self, *, replace: bool) -> tuple[PrivateKey, bool]:
        """Return the key and whether it was there before; it is durable on return.

        Raises:
            ConflictError, KeyStoreError: nothing was sent to the server yet, and nothing that was there has changed.
        """
        ...

    def settings(self, sota_toml: str) -> str:
        """Return the text of `sota.toml` as this place needs it; changes nothing.

        Raises:
            InvalidInputError: the server's text does not fit this place.
        """
        ...

    def keep(self, certificate: x509.Certificate) -> None:
        """Put the certificate, which is verified, where programs look for it beside the files."""
        ...

    def end(self, *, refused: bool) -> None:
        """Say that the registration is over. `refused`: the server has certainly not signed for this key."""
        ...


class FileKeyPlace:
    """The key is `pkey.pem` of the directory; a refused run leaves it for the next."""

    overrides: Overrides = ()

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def begin(self, *, replace: bool) -> tuple[PrivateKey, bool]:
        return find_or_create_key(self._directory)

    def settings(self, sota_toml: str) -> str:
        return sota_toml

    def keep(self, certificate: x509.Certificate) -> None:
        """Do nothing: `client.pem` is the certificate's place."""

    def end(self, *, refused: bool) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccess:
    """How to get at a device's token. The PINs show in no text made of this."""

    module: Path
    so_pin: str = field(repr=False)
    pin: str = field(repr=False)


class TokenKeyPlace:
    """The key and a copy of the certificate are on the token `aktualizr`. Close it.

    Args:
        directory: of the device's identity; must exist when the registration begins.
    """

    overrides: Overrides = TOKEN_OVERRIDES

    def __init__(self, directory: Path, access: TokenAccess) -> None:
        self._directory = directory
        self._access = access
        self._token: DeviceToken | None = None
        self._is_new = False

    def begin(self, *, replace: bool) -> tuple[PrivateKey, bool]:
        """Open the token, making it if need be, and find or make the key.

        Raises:
            ConflictError: `token-in-use`.
            KeyStoreError: as `DeviceToken` and its `find_or_create_key`.
        """
        pending = read_pending(self._directory)
        token = self._open(may_initialize=pending is None or replace)
        serial = token.serial
        if pending != serial:
            _require_free(token, replace=replace)
            write_private(self._directory / PENDING_FILE, f"{serial}\n")
        key, was_there = token.find_or_create_key()
        self._is_new = not was_there
        return key, was_there

    def settings(self, sota_toml: str) -> str:
        """Append `[p11]`, the PIN in it: the update agent of the device has no other place to read it from."""
        settings = TokenSettings(
            str(self._access.module.absolute()), self._access.pin, DEVICE_KEY_ID.hex(), DEVICE_CERTIFICATE_ID.hex()
        )
        return append_token_settings(sota_toml, settings)

    def keep(self, certificate: x509.Certificate) -> None:
        """Write the certificate to the token; what was there goes last."""
        self._opened().replace_certificate(certificate_der(certificate), subject=subject_der(certificate))

    def end(self, *, refused: bool) -> None:
        """Forget the unfinished run. A refused one takes the key with it, unless an earlier run may have sent it."""
        if not refused:
            remove_pending(self._directory)
        elif self._is_new:
            # The person should read why the server refused. A key that stays is used again by the next run.
            with contextlib.suppress(OwnrootError):
                self._opened().destroy_key()
                remove_pending(self._directory)

    def close(self) -> None:
        """Close the token; no error if it was never opened."""
        if self._token is not None:
            self._token.close()

    def _open(self, *, may_initialize: bool) -> DeviceToken:
        access = self._access
        self._token = DeviceToken(access.module, so_pin=access.so_pin, pin=access.pin, may_initialize=may_initialize)
        return self._token

    def _opened(self) -> DeviceToken:
        if self._token is None:
            raise KeyStoreError("key-store-closed", "The token of this device is not in use.")
        return self._token


def _require_free(token: DeviceToken, *, replace: bool) -> None:
    labels = () if replace else token.labels_in_use()
    if labels:
        names = " and ".join(repr(label) for label in labels)
        raise ConflictError(
            "token-in-use",
            f"The token of this device already has {names}, made by another registration. Use --force to register "
            "again: a key that was made on the token stays, and the certificate is replaced once the new one is here.",
        )
