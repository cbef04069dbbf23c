"""Changing single values of a `sota.toml` that is there: every other line stays as it is, comments too.

Other programs wrote the file and read it, so what cannot be changed without touching the rest is left alone.
"""

import re
import tomllib
from collections.abc import Mapping

from ownroot.errors import InvalidInputError
from ownroot.wire.sota_toml import toml_string

_is_header = re.compile(r"\s*\[([^\[\]]*)\]\s*(?:#.*)?").fullmatch


def replace_values(text: str, section: str, values: Mapping[str, str]) -> str:
    """Return the text with other strings as the values of keys that are in the section.

    Raises:
        InvalidInputError: `sota-toml-edit`: one of them is not there, on a line of its own, as a string.
    """
    wanted = dict(values)
    place, lines = "", []
    for line in text.splitlines(keepends=True):
        header = _is_header(line.rstrip("\r\n"))
        place = header[1].strip() if header else place
        key = "" if header else _key(line, place, section)
        if key in wanted:
            lines.append(f"{line[: line.index('=')].rstrip()} = {toml_string(wanted.pop(key))}\n")
        else:
            lines.append(line)
    changed = "".join(lines)
    if wanted or not _is_only_change(text, changed, section, values):
        names = ", ".join(values)
        raise InvalidInputError(
            "sota-toml-edit",
            f"sota.toml does not hold {names} in its section [{section}] as plain lines, so this device cannot be "
            "given another key. Write it so: a line each, the value in quotes.",
        )
    return changed


def _key(line: str, place: str, section: str) -> str:
    """Return the key that a line gives a value in this section; both `[a]` `b =` and `a.b =` are written."""
    name, is_pair, _ = line.partition("=")
    dotted = f"{place}.{name.strip()}" if place else name.strip()
    return dotted.removeprefix(f"{section}.") if is_pair and dotted.startswith(f"{section}.") else ""


def _is_only_change(before: str, after: str, section: str, values: Mapping[str, str]) -> bool:
    try:
        expected, found = tomllib.loads(before), tomllib.loads(after)
        if not all(isinstance(expected[section][key], str) for key in values):
            return False
    except (ValueError, KeyError, TypeError):
        return False
    expected[section].update(values)
    return expected == found
