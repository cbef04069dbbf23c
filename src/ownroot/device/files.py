"""The files of a device's identity: written whole, or not at all.

Names and modes follow the protocol page on registration, §6. `client.pem` is written last: where it exists, the
device is registered and every other file is complete.
"""

import os
from pathlib import Path

from ownroot.errors import InvalidInputError
from ownroot.keystore.durable import replace_file, sync_directory

KEY_FILE = "pkey.pem"
CERTIFICATE_FILE = "client.pem"
CHAIN_FILE = "client.chained"
ROOT_FILE = "root.crt"
SETTINGS_FILE = "sota.toml"
PENDING_FILE = "registration.pending"
METADATA_DIRECTORY = "update-metadata"
PRIVATE_MODE = 0o600


def is_registered(directory: Path) -> bool:
    """Does the directory hold a finished registration, by us or by another program?"""
    return (directory / CERTIFICATE_FILE).exists() or (directory / "sql.db").exists()


def write_private(path: Path, text: str) -> None:
    """Write a file readable by its owner alone, whole, in place of one that may be there. Never for keys.

    Raises:
        InvalidInputError: `device-directory`; nothing changed.
    """
    try:
        replace_file(path, text.encode("utf-8"), mode=PRIVATE_MODE)
    except OSError as error:
        raise InvalidInputError("device-directory", f"{path} cannot be written: {error.strerror}.") from error


def withdraw_registration(directory: Path) -> None:
    """Take `client.pem` away before the files around it change: what is there in between is no registration.

    Raises:
        InvalidInputError: `device-directory`.
    """
    _remove(directory / CERTIFICATE_FILE)


def read_pending(directory: Path) -> str | None:
    """Return what an unfinished registration noted, None if there is none.

    Raises:
        InvalidInputError: `device-directory`.
    """
    path = directory / PENDING_FILE
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("device-directory", f"{path} cannot be read.") from error


def remove_pending(directory: Path) -> None:
    """Say that no registration is unfinished.

    Raises:
        InvalidInputError: `device-directory`.
    """
    _remove(directory / PENDING_FILE)


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


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise InvalidInputError("device-directory", f"{path} cannot be removed: {error.strerror}.") from error
