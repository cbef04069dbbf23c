"""What a staged change does to a root, and what its owner should know (protocol: tuf.md §4.2)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ownroot.tuf.keys import KeyType
from ownroot.tuf.metadata import ONLINE_ROLES, Role, Root
from ownroot.tuf.root_rules import OnlineKeys, has_offline_targets_key

_SAFE_ROOT_KEYS: Final = 3
_SAFE_ROOT_THRESHOLD: Final = 2
_EXPIRY_NOTICE: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Note:
    """One line for a person, with what it is about."""

    kind: str
    message: str
    args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """A root and its production threshold, as far as people compare them."""

    root: Root
    production_threshold: int | None
    online_keys: OnlineKeys


def list_amendments(current: Shape, staged: Shape) -> list[Note]:
    """Return what a staged root, which is another than `current`, adds, removes and replaces.

    Its version and its end are always told: whoever signs must see which root that is and how long it lives.
    """
    return [
        _version_change(current.root, staged.root),
        *_key_changes(current, staged),
        *_online_changes(current, staged),
        *_threshold_changes(current, staged),
        _expiry_change(current.root, staged.root),
    ]


def list_warnings(shape: Shape, *, first_root_key: str | None, now: datetime) -> list[Note]:
    """Return what is allowed and unwise about a root.

    Args:
        first_root_key: id of the root key that the server made; None if it is not known any more.
    """
    return list(_warnings(shape, first_root_key, now))


def _key_changes(current: Shape, staged: Shape) -> Iterator[Note]:
    online = {*current.online_keys.values(), *staged.online_keys.values()}
    for role in (Role.ROOT, Role.TARGETS):
        before, after = current.root.roles[role].key_ids, staged.root.roles[role].key_ids
        for key_id in after:
            if key_id not in before and key_id not in online:
                yield Note("key-added", f"Add {role} key {key_id}", {"role": role.value, "keyid": key_id})
        for key_id in before:
            if key_id not in after and key_id not in online:
                yield Note("key-removed", f"Remove {role} key {key_id}", {"role": role.value, "keyid": key_id})


def _online_changes(current: Shape, staged: Shape) -> Iterator[Note]:
    for role in ONLINE_ROLES:
        key_id = staged.online_keys[role]
        if key_id != current.online_keys[role]:
            args = {"role": role.value, "keyid": key_id}
            yield Note("online-key-replaced", f"Replace the online {role} key with {key_id}", args)


def _threshold_changes(current: Shape, staged: Shape) -> Iterator[Note]:
    before, after = current.root.roles[Role.ROOT].threshold, staged.root.roles[Role.ROOT].threshold
    if before != after:
        yield Note("threshold-changed", f"Set the threshold of root from {before} to {after}", {"role": "root"})
    old, new = current.production_threshold, staged.production_threshold
    if new is not None and new != old:
        was = "" if old is None else f" from {old}"
        message = f"Set the threshold of production targets{was} to {new}"
        yield Note("threshold-changed", message, {"role": "targets"})


def _version_change(current: Root, staged: Root) -> Note:
    return Note("version-changed", f"Publish root {staged.version} in place of root {current.version}")


def _expiry_change(current: Root, staged: Root) -> Note:
    # To the second: a root that is signed anew on the day it was made moves by less than a day.
    before, after = (f"{root.expires:%Y-%m-%d %H:%M:%S} UTC" for root in (current, staged))
    if before == after:
        return Note("expiry-kept", f"Expire on {after}, as before")
    return Note("expiry-changed", f"Expire on {after} instead of {before}")


def _warnings(shape: Shape, first_root_key: str | None, now: datetime) -> Iterator[Note]:
    root = shape.root
    keys = root.roles[Role.ROOT]
    if first_root_key in keys.key_ids:
        yield Note(
            "first-root-key-in-use",
            "The first root key, which the server made, is still a root key. Rotate it to a key of your own.",
        )
    if len(keys.key_ids) < _SAFE_ROOT_KEYS or keys.threshold < _SAFE_ROOT_THRESHOLD:
        yield Note(
            "few-root-keys",
            f"Root has {len(keys.key_ids)} key(s), and {keys.threshold} must sign. With at least {_SAFE_ROOT_KEYS} "
            f"keys and a threshold of {_SAFE_ROOT_THRESHOLD} no single loss or theft ends the ownership.",
        )
    if not has_offline_targets_key(root, shape.online_keys):
        yield Note("no-offline-targets-key", "There is no offline targets key, so production targets cannot be made.")
    if any(key.keytype is KeyType.RSA for key in root.keys.values()):
        yield Note("rsa-key", "The root has an RSA key. Devices with the Go client refuse such a root; use ED25519.")
    if root.expires - now < _EXPIRY_NOTICE:
        yield Note("root-expires", f"The root expires on {root.expires:%Y-%m-%d}. Rotate a root key to prolong it.")
