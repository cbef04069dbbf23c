"""PINs of tokens that nobody types: from a file that is ours alone, or from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from ownroot.errors import KeyStoreError, OwnrootError

_MAX_PIN_BYTES = 256
_REFUSALS = frozenset({"pin-incorrect", "pin-locked"})


def is_pin_refused(error: OwnrootError) -> bool:
    """Did a token refuse its PIN? Whoever tries it again brings the token closer to its lock."""
    return error.code in _REFUSALS


def find_pin(token_label: str, pin_file: Path | None, environment: Mapping[str, str], *, variable: str) -> str:
    """Read the PIN of a token.

    Args:
        pin_file: None: the PIN is in the environment, under `variable`.
    Raises:
        KeyStoreError: `pin-missing`, `pin-file`.
    """
    if pin_file is None:
        pin, where = environment.get(variable, ""), variable
    else:
        pin, where = _read(pin_file), str(pin_file)
    if not pin:
        raise KeyStoreError("pin-missing", f"The token {token_label!r} wants its PIN, and {where} is empty.")
    return pin


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise KeyStoreError("pin-file", f"Others can read the PIN in {file}; run: chmod 600 {file}")
            return stream.read(_MAX_PIN_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise KeyStoreError("pin-file", f"The PIN cannot be read from {file}.") from exc
