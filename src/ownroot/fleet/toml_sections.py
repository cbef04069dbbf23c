"""TOML whose every value is a string, by section: what clients of the field read without harm.

A bare integer ends their program (protocol: gateway.md §1), so none is taken in and none is ever written.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from ownroot.errors import InvalidInputError

Section: TypeAlias = tuple[str, ...]  # the path of a table's header; empty = above the first header
Sections: TypeAlias = dict[Section, dict[str, str]]

_DEEPEST: Final = 32  # tables in tables: a header with dots makes them by the thousand, and cheaply
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPED: Final = re.compile('[\\x00-\\x1f\\x7f"\\\\]')


def parse_sections(text: str) -> Sections:
    """Read sections.

    Raises:
        InvalidInputError: `toml-malformed`; `toml-too-deep`; `toml-not-a-string` names the value that is none.
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise InvalidInputError("toml-malformed", f"This is not readable TOML: {exc}.") from exc
    sections: Sections = {}
    for section, key, value in _leaves(tables, ()):
        sections.setdefault(section, {})[key] = value
    return sections


def merge_sections(below: Sections, above: Sections) -> Sections:
    """Return both, key by key; `above` wins, also where one has a value and the other a table of the same name."""
    tables = {name[:length] for name in above for length in range(1, len(name) + 1)}
    values = {(*name, key) for name, keys in above.items() for key in keys}
    kept = {
        name: {key: value for key, value in keys.items() if (*name, key) not in tables}
        for name, keys in below.items()
        if not any(name[:length] in values for length in range(1, len(name) + 1))
    }
    names = (*kept, *(name for name in above if name not in kept))
    merged = {name: {**kept.get(name, {}), **above.get(name, {})} for name in names}
    return {name: keys for name, keys in merged.items() if keys}


def print_sections(sections: Sections) -> str:
    """Return TOML text that reads back the same."""
    ordered = sorted(sections.items(), key=lambda entry: bool(entry[0]))  # keys without a section come first
    return "\n".join(_print(section, keys) for section, keys in ordered)


def _leaves(table: Mapping[str, Any], path: Section) -> Iterator[tuple[Section, str, str]]:
    if len(path) > _DEEPEST:
        raise InvalidInputError("toml-too-deep", f"Tables lie in tables more than {_DEEPEST} deep.")
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        elif isinstance(value, str):
            yield path, key, value
        else:
            raise InvalidInputError(
                "toml-not-a-string",
                f"The value of {'.'.join((*path, key))!r} must be a string in quotes: clients of the field stop at "
                "numbers, lists and the like.",
            )


def _print(section: Section, keys: Mapping[str, str]) -> str:
    header = f"[{'.'.join(map(_key, section))}]\n" if section else ""
    return header + "".join(f"{_key(key)} = {_quoted(value)}\n" for key, value in keys.items())


def _key(text: str) -> str:
    return text if _BARE_KEY.match(text) else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + '"'
