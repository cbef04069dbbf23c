"""What a device gets: the configurations of its factory, its group and its own, merged (gateway.md §6.3)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ownroot.fleet.config_files import SECTIONED_FILE, ConfigFile
from ownroot.fleet.toml_sections import merge_sections, parse_sections, print_sections


def merge_scopes(
    factory: Iterable[ConfigFile], group: Iterable[ConfigFile], device: Iterable[ConfigFile]
) -> tuple[ConfigFile, ...]:
    """Return the files to deliver, by name; the later scope wins, also over a file it has as a directory or within one.

    `unencrypted` says in the result what it says to a device: the value is plain text. What the owner uploads for a
    factory or a group is plain text even where it is to be kept secret at rest, and one plain value that does not say
    so makes a device reject everything.
    """
    merged: dict[str, ConfigFile] = {}
    rank: dict[str, int] = {}
    shared = ([replace(file, unencrypted=True) for file in scope] for scope in (factory, group))
    for number, scope in enumerate((*shared, delivered_alone(device))):
        for file in scope:
            merged[file.name] = _over(merged.get(file.name), file)
            rank[file.name] = number
    shadowed = set(_shadowed(rank))
    return tuple(merged[name] for name in sorted(merged) if name not in shadowed)


def delivered_alone(device: Iterable[ConfigFile]) -> tuple[ConfigFile, ...]:
    """Return a device's own files as it is to read them: the encrypted form cannot say the empty text."""
    return tuple(file if file.value else replace(file, unencrypted=True) for file in device)


def _shadowed(rank: Mapping[str, int]) -> Iterator[str]:
    """Name the files of an earlier scope that a later one has as a directory, or the other way round.

    No disk holds both, and a device that was sent both would store nothing at all.
    """
    for name in rank:
        parts = name.split("/")
        for length in range(1, len(parts)):
            parent = "/".join(parts[:length])
            if parent in rank:
                yield min(name, parent, key=rank.__getitem__)


def _over(below: ConfigFile | None, above: ConfigFile) -> ConfigFile:
    if below is None or above.name != SECTIONED_FILE or not (below.unencrypted and above.unencrypted):
        return above
    sections = merge_sections(parse_sections(below.value), parse_sections(above.value))
    return replace(above, value=print_sections(sections), on_changed=above.on_changed or below.on_changed)
