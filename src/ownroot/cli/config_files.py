"""Files for a configuration, as somebody gives them on a command line."""

import sys
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import InvalidInputError
from ownroot.fleet.config_files import ConfigFile, check_files
from ownroot.pki.ecies import encrypt
from ownroot.wire.config import ConfigFileForm, ConfigForm, config_files, file_forms, parse_config_form


def read_assignments(words: Iterable[str], *, unencrypted: bool) -> tuple[ConfigFile, ...]:
    """Read `NAME=TEXT` and `NAME==FILE`.

    Raises:
        InvalidInputError: `bad-assignment`, `file-unreadable`, and as `check_files`.
    """
    files = tuple(_read_assignment(word, unencrypted) for word in words)
    check_files(files, is_plain=True)
    return files


def read_raw(path: Path) -> ConfigForm:
    """Read a whole request in JSON from a file, from standard input for `-`.

    Raises:
        InvalidInputError: `file-unreadable`, and as `parse_config_form` and `check_files`.
    """
    body = sys.stdin.buffer.read() if str(path) == "-" else _read(path)
    form = parse_config_form(body)
    check_files(config_files(form.files), is_plain=False)
    return form


def seal_for(files: Iterable[ConfigFile], key: ec.EllipticCurvePublicKey) -> tuple[ConfigFileForm, ...]:
    """Encrypt what is not said to be plain, so that the device alone can read it; the server sees no such value."""
    return file_forms(
        file
        if file.unencrypted
        else ConfigFile(file.name, encrypt(file.value.encode(), key), on_changed=file.on_changed)
        for file in files
    )


def _read_assignment(word: str, unencrypted: bool) -> ConfigFile:
    name, found, value = word.partition("=")
    if not found:
        raise InvalidInputError(
            "bad-assignment", f"{word[:80]!r} is neither NAME=TEXT nor NAME==FILE.", fields={"file": "NAME=TEXT"}
        )
    if not value.startswith("="):
        return ConfigFile(name, value, unencrypted)
    content = _read(Path(value[1:]))
    try:
        return ConfigFile(name, content.decode("utf-8"), unencrypted)
    except UnicodeDecodeError as exc:
        raise InvalidInputError("file-unreadable", f"{value[1:]} is not UTF-8 text; encode it first.") from exc


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise InvalidInputError("file-unreadable", f"{path} cannot be read: {exc.strerror}.") from exc
