"""The device's private key file: made once, on disk before anybody signs for it, used again after a power cut."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ownroot.device.files import KEY_FILE, write_private
from ownroot.errors import KeyStoreError
from ownroot.pki.signer import PrivateKey, generate_key


def find_or_create_key(directory: Path) -> tuple[PrivateKey, bool]:
    """Return the key of this directory and whether it was there before.

    A run that was cut between key and certificate is resumed with the same key, so that the server sees one request
    twice and not two devices.

    Raises:
        KeyStoreError: `device-key`, the file is there and is no EC private key.
    """
    path = directory / KEY_FILE
    if path.exists():
        return load_key(path), True
    key = generate_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    write_private(path, pem.decode("ascii"))
    return key, False


def load_key(path: Path) -> PrivateKey:
    """Read a private key file in PEM.

    Raises:
        KeyStoreError: `device-key`.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyStoreError("device-key", f"{path} cannot be read as an unencrypted private key.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyStoreError("device-key", f"{path} holds no elliptic curve key; devices use EC P-256.")
    return key
