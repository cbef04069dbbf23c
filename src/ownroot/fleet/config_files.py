"""Configuration files as values: what a name may be, what fits, what becomes of a configuration when some change.

Both ends keep these rules: the server refuses what breaks them, and a device trusts no server to have done so, since a
name becomes a path there (protocol: gateway.md §6.3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.fleet.toml_sections import parse_sections

MAX_CONFIG_BYTES: Final = 1_000_000  # names, values and handlers of one scope
MAX_FILES: Final = 1000
MAX_NAME_BYTES: Final = 255
MAX_REASON_CHARS: Final = 1024
HISTORY_KEPT: Final = 10
SECTIONED_FILE: Final = "z-50-fioctl.toml"
"""Merged key by key between the scopes; every other file is taken whole from the last scope that has it."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file of one scope, as its owner uploaded it.

    Attributes:
        value: plain text; in a device's own configuration base64 ECIES unless `unencrypted`.
        on_changed: the handler to run and its arguments, empty for none.
    """

    name: str
    value: str
    unencrypted: bool = False
    on_changed: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in (self.name, self.value, *self.on_changed))


def parse_file_name(text: str) -> str:
    """Return a name that is safe as a path below a directory; `/` makes sub-directories.

    Raises:
        InvalidInputError: `config-file-name`.
    """
    parts = text.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or "\\" in text
        or not text.isprintable()
        or len(text.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES
    ):
        raise InvalidInputError(
            "config-file-name",
            f"The file name {text[:80]!r} cannot be used: one to {MAX_NAME_BYTES} printable bytes, `/` between "
            "directories, no `..`, no leading or doubled `/`, no backslash.",
            fields={"name": "not a safe file name"},
        )
    return text


def check_files(files: Sequence[ConfigFile], *, is_plain: bool) -> None:
    """Check the whole configuration of one scope.

    Args:
        is_plain: every value is plain text, whatever `unencrypted` says (a factory's or a group's configuration).
    Raises:
        InvalidInputError: `config-file-name`, `config-file-twice`, `config-too-large`, `config-text`, `toml-malformed`,
            `toml-not-a-string`.
    """
    names = [parse_file_name(file.name) for file in files]
    _require_apart(names)
    for file in files:
        _require_text(file)
        if file.name == SECTIONED_FILE and (is_plain or file.unencrypted):
            parse_sections(file.value)
    size = sum(file.size_bytes for file in files)
    if size > MAX_CONFIG_BYTES or len(files) > MAX_FILES:
        raise InvalidInputError(
            "config-too-large",
            f"A configuration has at most {MAX_FILES} files and {MAX_CONFIG_BYTES} bytes in all; this one has "
            f"{len(files)} files and {size} bytes.",
        )


def put_files(current: Iterable[ConfigFile], files: Iterable[ConfigFile]) -> tuple[ConfigFile, ...]:
    """Return a configuration with these files in it; the others stay as they are, handlers included."""
    merged = {file.name: file for file in current}
    merged.update((file.name, file) for file in files)
    return tuple(sorted(merged.values(), key=lambda file: file.name))


def remove_file(current: Iterable[ConfigFile], name: str) -> tuple[ConfigFile, ...]:
    """Return a configuration without a file.

    Raises:
        NotFoundError: `config-file-unknown`.
    """
    before = tuple(current)
    after = tuple(file for file in before if file.name != name)
    if len(after) == len(before):
        raise NotFoundError("config-file-unknown", f"This configuration has no file {name[:80]!r}.")
    return after


def keep_handlers(current: Iterable[ConfigFile], files: Iterable[ConfigFile]) -> tuple[ConfigFile, ...]:
    """Return files with the handlers they have now: a device may not choose what the owner's devices run."""
    known = {file.name: file.on_changed for file in current}
    return tuple(replace(file, on_changed=known.get(file.name, ())) for file in files)


def _require_apart(names: Sequence[str]) -> None:
    """No name twice, and none that is a file to one and a directory to another."""
    known = set(names)
    if len(known) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError("config-file-twice", f"The file {twice!r} is given twice.")
    for name in names:
        parts = name.split("/")
        for length in range(1, len(parts)):
            if "/".join(parts[:length]) in known:
                raise InvalidInputError(
                    "config-file-name", f"{'/'.join(parts[:length])!r} cannot be a file and the directory of {name!r}."
                )


def _require_text(file: ConfigFile) -> None:
    for text in (file.value, *file.on_changed):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as exc:
            raise InvalidInputError("config-text", f"The file {file.name!r} holds text that is not Unicode.") from exc
    if any("\0" in word for word in file.on_changed):
        raise InvalidInputError("config-text", f"A handler of the file {file.name!r} holds a zero byte.")
