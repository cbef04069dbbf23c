"""Ceremony files on a disk or a stick: read with a limit, written to new files only.

A stick has a file system without links and modes, so these files are written under their own names. One that was cut
short is told by its content.
"""

import contextlib
import os
from pathlib import Path

from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError
from ownroot.wire.ceremony_envelope import MAX_FILE_BYTES, Envelope, Family, File, write_file

_MODE = 0o600


def read_ceremony_file(path: Path, family: Family, wanted: type[File]) -> File:
    """Read a file of one kind. Raises InvalidInputError `file-unreadable`, and as `Family.parse` with the path."""
    content = read_content(path)
    try:
        return family.parse(content, wanted)
    except InvalidInputError as exc:
        raise InvalidInputError(exc.code, f"{path}: {exc.detail}") from exc


def read_content(path: Path) -> bytes:
    """Read a file, and no more of it than one byte too many. Raises InvalidInputError `file-unreadable`."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise InvalidInputError("file-unreadable", f"{path} cannot be read: {exc.strerror}.") from exc


def require_new_file(path: Path) -> None:
    """Check that a file can be made, before anything that costs. Raises as `write_ceremony_file`."""
    if path.exists() or path.is_symlink():
        raise _exists(path)
    if not os.access(path.parent, os.W_OK):
        raise KeyStoreError("ceremony-file-unwritable", f"{path} cannot be written: nothing can be made there.")


def write_ceremony_file(path: Path, file: Envelope) -> None:
    """Write a ceremony file. Raises as `write_content`."""
    write_content(path, write_file(file))


def write_content(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet; it is on disk on return.

    Raises:
        ConflictError: `ceremony-file-exists`; it was not touched.
        KeyStoreError: `ceremony-file-unwritable`; nothing is left behind.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError as exc:
        raise _exists(path) from exc
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as exc:
        with contextlib.suppress(OSError):
            path.unlink()
        raise _unwritable(path, exc) from exc


def _exists(path: Path) -> ConflictError:
    return ConflictError("ceremony-file-exists", f"There is a file {path} already, and no ceremony file is replaced.")


def _unwritable(path: Path, exc: OSError) -> KeyStoreError:
    return KeyStoreError("ceremony-file-unwritable", f"{path} cannot be written: {exc.strerror}.")
