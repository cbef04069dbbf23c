"""The files of a device's identity: written whole, or not at all.

Names and modes follow the protocol page on registration, §6. `client.pem` is written last: where it exists, the
device is registered and every other file is complete.
"""

import os
import tempfile
from pathlib import Path

from ownroot.errors import InvalidInputError
from ownroot.keystore.durable import sync_directory

KEY_FILE = "pkey.pem"
CERTIFICATE_FILE = "client.pem"
CHAIN_FILE = "client.chained"
ROOT_FILE = "root.crt"
SETTINGS_FILE = "sota.toml"


def is_registered(directory: Path) -> bool:
    """Does the directory hold a finished registration, by us or by another program?"""
    return (directory / CERTIFICATE_FILE).exists() or (directory / "sql.db").exists()


def write_private(path: Path, text: str) -> None:
    """Write a file readable by its owner alone: complete and on disk under its name, or not there at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def prepare_directory(directory: Path) -> None:
    """Make the directory (mode 0700) if it is missing.

    Raises:
        InvalidInputError: `device-directory` if it cannot be made or written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(
            "device-directory", f"The directory {directory} cannot be made: {error.strerror}."
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InvalidInputError("device-directory", f"The directory {directory} cannot be written by this user.")
