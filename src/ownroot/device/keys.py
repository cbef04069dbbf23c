"""The device's private key file: made once, on disk before anybody signs for it, used again after a power cut."""

from pathlib import Path

from ownroot.device.files import KEY_FILE, write_private
from ownroot.errors import KeyStoreError
from ownroot.keystore.file import load_key, sec1_pem
from ownroot.pki.signer import PrivateKey, generate_key


def find_or_create_key(directory: Path) -> tuple[PrivateKey, bool]:
    """Return the key of this directory and whether it was there before.

    A run that was cut between key and certificate is resumed with the same key, so that the server sees one request
    twice and not two devices.

    Raises:
        KeyStoreError: `key-unreadable`, `key-unsupported`: the file is there and is no EC private key.
    """
    path = directory / KEY_FILE
    try:
        return load_key(path.read_bytes(), where=str(path)), True
    except FileNotFoundError:
        return place_key(directory, generate_key()), False
    except OSError as error:
        raise KeyStoreError("key-unreadable", f"The key {path} cannot be read: {error.strerror}.") from error


def place_key(directory: Path, key: PrivateKey) -> PrivateKey:
    """Write a key as the directory's; on return it is on disk, readable by its owner alone."""
    write_private(directory / KEY_FILE, sec1_pem(key).decode("ascii"))
    return key
