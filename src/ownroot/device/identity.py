"""Reading a device's identity back from its directory.

Several programs share these files, so only what `sota.toml` names is used: the server, the trust anchor, the
certificate and the key. Every value must be a TOML string (protocol: gateway.md §1).
"""

import tomllib
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography import x509

from ownroot.client.credentials import Credentials, FileCredentials, TokenCredentials
from ownroot.device.files import SETTINGS_FILE
from ownroot.errors import InvalidInputError, KeyStoreError, NotFoundError
from ownroot.keystore.device_slots import DeviceSlots
from ownroot.keystore.labels import DEVICE_HSM_LABEL
from ownroot.pki.encoding import load_certificate_der, parse_certificates

_FILE: Final = "file"
_PKCS11: Final = "pkcs11"


@dataclass(frozen=True, slots=True)
class IdentityPlaces:
    """Where a key and a certificate are, as text.

    Attributes:
        source: `file` or `pkcs11`, as `sota.toml` says it; None: whatever it says.
        key, certificate: paths, or ids of objects on the token in hexadecimal.
    """

    source: str | None
    key: str
    certificate: str


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """Where the device's gateway is and what proves who the device is. Nothing of that is read yet."""

    server: str
    root_file: Path
    credentials: Credentials
    tags: str | None
    hardware_id: str | None = None

    @property
    def places(self) -> IdentityPlaces:
        """Where key and certificate are, as `at` takes it back."""
        match self.credentials:
            case FileCredentials(certificate, key):
                return IdentityPlaces(_FILE, str(key), str(certificate))
            case TokenCredentials(key_id=key_id, certificate_id=certificate_id):
                return IdentityPlaces(_PKCS11, key_id.hex(), certificate_id.hex())

    def at(self, places: IdentityPlaces) -> "DeviceIdentity":
        """Return the same device with another key and certificate.

        Raises:
            InvalidInputError: `device-settings`, these are places of another kind.
        """
        if places.source not in {self.places.source, None}:
            raise InvalidInputError(
                "device-settings",
                f"sota.toml takes key and certificate from `{self.places.source}`, and they were in `{places.source}` "
                "when the renewal began that is under way. Set tls.pkey_source and tls.cert_source to that again.",
            )
        match self.credentials:
            case FileCredentials():
                changed: Credentials = FileCredentials(Path(places.certificate), Path(places.key))
            case TokenCredentials():
                ids = _id(places.key), _id(places.certificate)
                changed = replace(self.credentials, key_id=ids[0], certificate_id=ids[1])
        return replace(self, credentials=changed)


def read_certificate(identity: DeviceIdentity) -> x509.Certificate:
    """Return the device certificate.

    Raises:
        KeyStoreError: `device-certificate`: there is none, or it cannot be read; or why the token cannot serve.
    """
    credentials = identity.credentials
    if isinstance(credentials, TokenCredentials):
        with opened(credentials) as token:
            return certificate_in(token, credentials.certificate_id)
    return certificate_file(credentials.certificate)


def certificate_file(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file. Raises KeyStoreError `device-certificate`, it cannot be read."""
    try:
        return parse_certificates(path.read_text(encoding="utf-8"))[0]
    except (OSError, UnicodeDecodeError, InvalidInputError) as error:
        raise KeyStoreError("device-certificate", f"The certificate {path} cannot be read.") from error


def certificate_in(token: DeviceSlots, certificate_id: bytes) -> x509.Certificate:
    """Return a certificate on the device's token.

    Raises:
        KeyStoreError: `device-certificate`: there is none, or it cannot be read; or why the token cannot serve.
    """
    return read_token_certificate(token.read_certificate(certificate_id) or b"", certificate_id)


def read_token_certificate(content: bytes, certificate_id: bytes) -> x509.Certificate:
    """Read what a token has under an id. Raises KeyStoreError `device-certificate`: it is no certificate."""
    try:
        return load_certificate_der(content)
    except InvalidInputError as error:
        raise KeyStoreError(
            "device-certificate",
            f"The token has no certificate under the id {certificate_id.hex()} that can be read. Is it the token of "
            "this device, and does sota.toml name the right place?",
        ) from error


def opened(credentials: TokenCredentials) -> "closing[DeviceSlots]":
    """Open the token for the time of a block. Raises as `DeviceSlots`."""
    return closing(DeviceSlots(credentials.module, credentials.token, credentials.pin))


def exposed_secret(directory: Path, identity: DeviceIdentity) -> Path | None:
    """Return the file with the key, or with the token's PIN, if others than its owner may read or change it."""
    credentials = identity.credentials
    secret = credentials.key if isinstance(credentials, FileCredentials) else directory / SETTINGS_FILE
    try:
        return secret if secret.stat().st_mode & 0o077 else None
    except OSError:
        return None  # whoever needs it says so


def load_identity(directory: Path) -> DeviceIdentity:
    """Read `sota.toml` of a registered device.

    Raises:
        NotFoundError: `device-not-registered`, there is no `sota.toml`.
        InvalidInputError: `device-settings`, it is no TOML, or a value is missing or no string;
            `device-key-source`, key and certificate are not in the same kind of place.
    """
    path = directory / SETTINGS_FILE
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(
            "device-not-registered",
            f"There is no {path}: this device is not registered. Run `ownroot-device register` first.",
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInputError("device-settings", f"{path} cannot be read: {error}.") from error
    return DeviceIdentity(
        server=_string(path, settings, "tls", "server").rstrip("/"),
        root_file=Path(_string(path, settings, "import", "tls_cacert_path")),
        credentials=_credentials(path, settings),
        tags=_optional_string(settings, "pacman", "tags"),
        hardware_id=_optional_string(settings, "provision", "primary_ecu_hardware_id"),
    )


def _credentials(path: Path, settings: dict[str, object]) -> Credentials:
    sources = {_optional_string(settings, "tls", name) or _FILE for name in ("pkey_source", "cert_source")}
    if sources == {_FILE}:
        return FileCredentials(
            certificate=Path(_string(path, settings, "import", "tls_clientcert_path")),
            key=Path(_string(path, settings, "import", "tls_pkey_path")),
        )
    if sources == {_PKCS11}:
        return TokenCredentials(
            module=Path(_string(path, settings, "p11", "module")),
            token=_optional_string(settings, "p11", "label") or DEVICE_HSM_LABEL,
            pin=_string(path, settings, "p11", "pass"),
            key_id=_id(_string(path, settings, "p11", "tls_pkey_id")),
            certificate_id=_id(_string(path, settings, "p11", "tls_clientcert_id")),
        )
    raise InvalidInputError(
        "device-key-source",
        f"{path} says that key and certificate come from {' and '.join(sorted(sources))}. This program takes both from "
        "files (`file`) or both from a token (`pkcs11`): tls.pkey_source and tls.cert_source.",
    )


def _id(text: str) -> bytes:
    """Read the id of an object on a token, as the field writes it: hexadecimal."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if not found:
        raise InvalidInputError("device-settings", f"{text!r} is no id of an object on a token, which is hexadecimal.")
    return found


def _string(path: Path, settings: dict[str, object], section: str, key: str) -> str:
    value = _optional_string(settings, section, key)
    if not value:
        raise InvalidInputError("device-settings", f"{path} has no string `{key}` in section [{section}].")
    return value


def _optional_string(settings: dict[str, object], section: str, key: str) -> str | None:
    table = settings.get(section)
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, str) else None
