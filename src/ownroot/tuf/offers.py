"""Which target a device is offered: the newest for its hardware and its tags in verified targets (tuf.md §2.5).

What does not say for whom it is, is for nobody. The version is the integer in `custom.version`; names decide nothing.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ownroot.tuf.canonical import Json


@dataclass(frozen=True, slots=True)
class Offer:
    """A target for this device, as its entry in the targets says it."""

    name: str
    version: int
    entry: dict[str, Json]


def newest_offer(targets: Json, *, tags: Collection[str], hardware_id: str) -> Offer | None:
    """Return the target with the highest version for one of these tags and this hardware; None if there is none.

    Args:
        targets: signed part of a targets document that a device has accepted.
    """
    entries = targets.get("targets") if isinstance(targets, dict) else None
    return max(_offers(entries, set(tags), hardware_id), key=lambda offer: (offer.version, offer.name), default=None)


def _offers(entries: Json, tags: set[str], hardware_id: str) -> Iterator[Offer]:
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        custom = entry.get("custom") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(custom, dict):
            continue
        version = custom.get("version")
        is_for_us = hardware_id in _texts(custom, "hardwareIds") and not tags.isdisjoint(_texts(custom, "tags"))
        if is_for_us and isinstance(version, str) and version.isascii() and version.isdigit():
            yield Offer(name, int(version), entry)


def _texts(custom: dict[str, Json], name: str) -> list[str]:
    value = custom.get(name)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
