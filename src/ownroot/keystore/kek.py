"""The key-encryption key (KEK): made once per server, kept apart from the database it protects.

It lies in a file of the data directory (default) or comes from the environment. Whoever has the database and not the
KEK has no private key; so the two never belong into one backup. The KEK itself seals nothing: each purpose has a
sub-key of its own (HKDF, RFC 5869), and a process gets only the sub-keys it needs.
"""

import base64
import binascii
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ownroot.errors import KeyStoreError
from ownroot.keystore.durable import write_new_file
from ownroot.keystore.sealing import KEY_BYTES

KEK_FILE = "kek"
KEK_VARIABLE = "OWNROOT_KEK"
_MODE = 0o600
_HKDF_CONTEXT = b"ownroot sealing key v1: "


class Kek:
    """The key-encryption key in memory. Shows nothing of itself when printed."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise KeyStoreError("kek-size", f"The key-encryption key must have {KEY_BYTES} bytes, not {len(key)}.")
        self._key = key

    def sub_key(self, purpose: str) -> bytes:
        """Return the 32-byte key for one purpose; knowing one tells nothing of the others."""
        derive = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=_HKDF_CONTEXT + purpose.encode())
        return derive.derive(self._key)


def load_kek(directory: Path, environment: Mapping[str, str]) -> Kek:
    """Take the KEK from `OWNROOT_KEK` (base64 of 32 bytes) or from `DIR/kek`.

    Raises:
        KeyStoreError: `kek-missing`, `kek-unreadable`, `kek-size`, `kek-owner`, `kek-mode`.
    """
    text = environment.get(KEK_VARIABLE, "").strip()
    if text:
        return Kek(_decode(text, f"The environment variable {KEK_VARIABLE}"))
    return Kek(_decode(_read_guarded(directory / KEK_FILE), f"The file {directory / KEK_FILE}"))


def load_or_make_kek(
    directory: Path, environment: Mapping[str, str], *, random: Callable[[int], bytes] = os.urandom
) -> Kek:
    """As `load_kek`, and make the file when neither is there: for a data directory that is being set up.

    Never call it for a database that holds sealed keys already: a new KEK beside an old database hides the loss.
    """
    path = directory / KEK_FILE
    if not environment.get(KEK_VARIABLE, "").strip() and not path.exists():
        text = base64.b64encode(random(KEY_BYTES)) + b"\n"
        try:
            write_new_file(path, text, mode=_MODE)
        except FileExistsError:
            pass  # another process made it at the same moment; its file is the one
        except OSError as exc:
            raise KeyStoreError("kek-unreadable", f"The file {path} cannot be written: {exc.strerror}.") from exc
    return load_kek(directory, environment)


def _read_guarded(path: Path) -> str:
    """Read through one descriptor, so that what was checked is what is read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise KeyStoreError(
            "kek-missing",
            f"The key-encryption key {path} is missing, and without it no private key of this server can be opened. "
            f"Put it back from its own backup, or give it in {KEK_VARIABLE}.",
        ) from exc
    except OSError as exc:
        raise KeyStoreError("kek-unreadable", f"The key-encryption key {path}: {exc.strerror}.") from exc
    with os.fdopen(descriptor, "r", encoding="ascii", errors="replace") as stream:
        _require_private(os.fstat(stream.fileno()), path)
        return stream.read(4096)


def _require_private(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.geteuid():
        raise KeyStoreError("kek-owner", f"{path} belongs to another user (uid {status.st_uid}); it must be ours.")
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or mode & 0o077:
        raise KeyStoreError(
            "kek-mode",
            f"{path} has mode {mode:04o}, so others on this machine may have read it. "
            f"Decide whether they could have; then run: chmod 600 {path}",
        )


def _decode(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise KeyStoreError("kek-unreadable", f"{where} does not hold base64 of {KEY_BYTES} bytes.") from exc
