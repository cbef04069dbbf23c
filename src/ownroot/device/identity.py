"""Reading a device's identity back from its directory.

Several programs share these files, so only what `sota.toml` names is used: the server, the trust anchor, the
certificate and the key. Every value must be a TOML string (protocol: gateway.md §1).
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from ownroot.device.files import SETTINGS_FILE
from ownroot.errors import InvalidInputError, KeyStoreError, NotFoundError
from ownroot.pki.encoding import parse_certificates


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """Where the device's gateway is and which files prove who the device is. Files are named, not yet read."""

    server: str
    root_file: Path
    certificate_file: Path
    key_file: Path
    tags: str | None
    hardware_id: str | None = None

    @property
    def key_place(self) -> str:
        """Where the key is, as text that `at` takes back."""
        return str(self.key_file)

    @property
    def certificate_place(self) -> str:
        """Where the certificate is, likewise."""
        return str(self.certificate_file)

    def at(self, key_place: str, certificate_place: str) -> "DeviceIdentity":
        """Return the same device with another key and certificate."""
        return replace(self, key_file=Path(key_place), certificate_file=Path(certificate_place))


def read_certificate(identity: DeviceIdentity) -> x509.Certificate:
    """Return the device certificate.

    Raises:
        KeyStoreError: `device-certificate`: there is none, or it cannot be read.
    """
    try:
        return parse_certificates(identity.certificate_file.read_text(encoding="utf-8"))[0]
    except (OSError, UnicodeDecodeError, InvalidInputError) as error:
        raise KeyStoreError(
            "device-certificate", f"The certificate {identity.certificate_file} cannot be read."
        ) from error


def load_identity(directory: Path) -> DeviceIdentity:
    """Read `sota.toml` of a registered device.

    Raises:
        NotFoundError: `device-not-registered`, there is no `sota.toml`.
        InvalidInputError: `device-settings`, it is no TOML, or a value is missing or no string;
            `device-key-source`, its key is not in a file.
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
    source = _optional_string(settings, "tls", "pkey_source")
    if source not in (None, "file"):
        raise InvalidInputError(
            "device-key-source",
            f"{path} says tls.pkey_source = {source!r}, and this program does TLS with keys in files only. The device "
            "is registered all the same: its update agent, or curl with a PKCS#11 engine, connects with such a key.",
        )
    return DeviceIdentity(
        server=_string(path, settings, "tls", "server").rstrip("/"),
        root_file=Path(_string(path, settings, "import", "tls_cacert_path")),
        certificate_file=Path(_string(path, settings, "import", "tls_clientcert_path")),
        key_file=Path(_string(path, settings, "import", "tls_pkey_path")),
        tags=_optional_string(settings, "pacman", "tags"),
        hardware_id=_optional_string(settings, "provision", "primary_ecu_hardware_id"),
    )


def _string(path: Path, settings: dict[str, object], section: str, key: str) -> str:
    value = _optional_string(settings, section, key)
    if not value:
        raise InvalidInputError("device-settings", f"{path} has no string `{key}` in section [{section}].")
    return value


def _optional_string(settings: dict[str, object], section: str, key: str) -> str | None:
    table = settings.get(section)
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, str) else None
