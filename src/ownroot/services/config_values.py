"""Whether a device will be able to read the values it is given."""

from collections.abc import Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ownroot.errors import InvalidInputError
from ownroot.fleet.config_files import ConfigFile
from ownroot.pki.ecies import require_ciphertext
from ownroot.services.records import Device


def device_public_key(device: Device) -> ec.EllipticCurvePublicKey | None:
    """Return the device's key if values can be encrypted for it."""
    try:
        key = load_der_public_key(device.spki_der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) else None


def require_readable_by(key: ec.EllipticCurvePublicKey | None, files: Sequence[ConfigFile]) -> None:
    """Refuse values that are neither said to be plain nor encrypted: one makes the device reject everything (§6.3).

    Raises:
        InvalidInputError: `config-value-plain`.
    """
    for file in files:
        if file.unencrypted or not file.value:
            continue
        try:
            if key is None:
                raise InvalidInputError("curve-unknown", "The device's key is no elliptic curve key.")
            require_ciphertext(file.value, key)
        except InvalidInputError as exc:
            raise InvalidInputError(
                "config-value-plain",
                f"The value of {file.name!r} is not encrypted for this device. {exc.detail} Encrypt it, or say "
                "`unencrypted: true`.",
                fields={file.name: "neither encrypted nor unencrypted: true"},
            ) from exc
