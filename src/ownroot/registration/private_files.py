"""Secrets as files: one line, for their owner's eyes alone."""

import stat
from pathlib import Path

from ownroot.errors import InvalidInputError, KeyStoreError

_MAX_BYTES = 8 * 1024


def read_secret(path: Path) -> str:
    """Return the text of a file, without the blanks around it.

    Raises:
        InvalidInputError: `secret-unreadable`.
        KeyStoreError: `secret-exposed`: others than its owner may read it.
    """
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = stream.read(_MAX_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not plain text"
        raise InvalidInputError("secret-unreadable", f"The secret in {path} cannot be read: {reason}.") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyStoreError(
            "secret-exposed",
            f"Others than its owner may read {path}. Close it (chmod 600 {path}) and replace the secret in it.",
        )
    if not text:
        raise InvalidInputError("secret-unreadable", f"The secret in {path} cannot be read: the file is empty.")
    return text
