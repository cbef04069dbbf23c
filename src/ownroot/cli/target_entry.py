"""What a command line says about a target, and the entry of a targets document it amounts to (tuf.md §2.5)."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json
from ownroot.tuf.targets import check_target

_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryOptions:
    """A target as people describe it: measured from a file, or with a hash and length from elsewhere.

    Attributes:
        apps: name and address of each app.
        custom: more members of `custom`, as JSON text; named options win over it.
    """

    file: Path | None = None
    sha256: str | None = None
    length: int | None = None
    version: str | None = None
    hardware_ids: tuple[str, ...] = ()
    target_format: str | None = None
    apps: tuple[tuple[str, str], ...] = ()
    custom: str | None = None

    @property
    def names_content(self) -> bool:
        """Does it say what the target's content is?"""
        return self.file is not None or self.sha256 is not None


def make_entry(name: str, tag: str, options: EntryOptions) -> dict[str, Json]:
    """Return the entry of a target.

    Raises:
        InvalidInputError: `tuf-target-invalid`, `target-custom-invalid`, `file-unreadable`.
    """
    length, digest = (options.length or 0, options.sha256 or "") if options.file is None else _measure(options.file)
    entry: dict[str, Json] = {"length": length, "hashes": {"sha256": digest}, "custom": _custom(name, tag, options)}
    check_target(name, entry)
    return entry


def why_never_offered(entry: dict[str, Json]) -> tuple[str, ...]:
    """Say what a target lacks that every device asks for before it takes one as an update; empty: nothing."""
    custom = entry.get("custom")
    said = custom if isinstance(custom, dict) else {}
    version = said.get("version")
    is_numbered = isinstance(version, str) and version.isascii() and version.isdigit()
    wanted = {"--hardware-id": bool(said.get("hardwareIds")), "--version (a number)": is_numbered}
    return tuple(option for option, is_there in wanted.items() if not is_there)


def _measure(file: Path) -> tuple[int, str]:
    digest, length = hashlib.sha256(), 0
    try:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                length += len(block)
    except OSError as exc:
        raise InvalidInputError("file-unreadable", f"{file} cannot be read: {exc.strerror}.") from exc
    return length, digest.hexdigest()


def _custom(name: str, tag: str, options: EntryOptions) -> dict[str, Json]:
    custom = _more(options.custom)
    custom["tags"] = [tag]
    stem, dash, number = name.rpartition("-")
    # Clients of this protocol name a target after its name and number: `lmp-7` is number 7 of `lmp`.
    if dash and number.isdigit():
        custom.setdefault("name", stem)
        custom.setdefault("version", number)
    if options.version is not None:
        custom["version"] = options.version
    if options.hardware_ids:
        custom["hardwareIds"] = list(options.hardware_ids)
    if options.target_format is not None:
        custom["targetFormat"] = options.target_format
    if options.apps:
        custom["docker_compose_apps"] = {app: {"uri": uri} for app, uri in options.apps}
    return custom


def _more(text: str | None) -> dict[str, Json]:
    try:
        more = json.loads(text or "{}")
    except ValueError as exc:
        raise InvalidInputError("target-custom-invalid", f"--custom is not JSON: {exc}.") from exc
    if not isinstance(more, dict):
        raise InvalidInputError("target-custom-invalid", "--custom must be a JSON object.")
    return more
