"""The device's private key file: made once, on disk before anybody signs for it, used again after a power cut."""

from pathlib import Path

from ownroot.device.files import KEY_FILE, PRIVATE_MODE
from ownroot.errors import KeyStoreError
from ownroot.keystore.durable import write_new_file
from ownroot.keystore.file import load_key, sec1_pem
from ownroot.pki.signer import PrivateKey, generate_key


def find_or_create_key(directory: Path) -> tuple[PrivateKey, bool]:
    """Return the key of this directory and whether it was there before.

    A run that was cut between key and certificate is resumed with the same key, so that the server sees one request
    twice and not two devices.

    Raises:
        KeyStoreError: `key-unreadable`, `key-unsupported` (the file is there and is no EC private key),
            `key-unwritable`.
    """
    path = directory / KEY_FILE
    if not path.exists():
        key = generate_key()
        if place_key(directory, key):
            return key, False
    try:
        return load_key(path.read_bytes(), where=str(path)), True
    except OSError as error:
        raise KeyStoreError("key-unreadable", f"The key {path} cannot be read: {error.strerror}.") from error


def place_key(directory: Path, key: PrivateKey) -> bool:
    """Write a key as the directory's, unless there is one: a key in use may already be certified.

    Returns: whether it is there now; on True it is on disk, readable by its owner alone.
    Raises:
        KeyStoreError: `key-unwritable`; nothing is left behind.
    """
    path = directory / KEY_FILE
    try:
        write_new_file(path, sec1_pem(key), mode=PRIVATE_MODE)
    except FileExistsError:
        return False
    except OSError as error:
        raise KeyStoreError("key-unwritable", f"The key {path} cannot be written: {error.strerror}.") from error
    return True
