"""What a device accepts: from the root it was made with, upwards, and then down to its targets (protocol: tuf.md §8).

The strictest common reading of the two device clients, in the order devices fetch: roots one by one, timestamp,
snapshot, targets. A document is accepted whole or refused by the name of a rule, and a refusal changes nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki.encoding import sha256
from ownroot.tuf.canonical import Json, find_unsafe
from ownroot.tuf.metadata import (
    ROOT_MAX_OCTETS,
    TARGETS_MAX_OCTETS,
    TIMESTAMP_MAX_OCTETS,
    Document,
    Role,
    RoleKeys,
    Root,
    parse_document,
    parse_time,
    read_root,
)
from ownroot.tuf.signatures import signed_by

MAX_ROOT_STEPS: Final = 256  # in one refresh
_LONGEST: Final = 8 * 1024 * 1024  # the most that a client of the field reads of any document, whatever was announced


@dataclass(frozen=True, slots=True)
class Described:
    """What one document says of the next: `length` and `sha256` cover its served bytes; None if they are not told."""

    version: int
    length: int | None
    sha256: str | None

    @property
    def most_octets(self) -> int:
        """How much is read of it. A stolen online key can announce any length, and must not fill a device."""
        return min(self.length or TARGETS_MAX_OCTETS, _LONGEST)


@dataclass(frozen=True, slots=True)
class Verified:
    """An accepted document below the root, with the bytes it came in. `root_version`: whose keys have signed it."""

    data: bytes
    version: int
    expires: datetime
    body: Json
    root_version: int


class DeviceTrust:
    """What one device has accepted so far.

    Attributes:
        root: its newest root.
        timestamp, snapshot, targets: its newest documents, expired or not; None before the first.
    """

    def __init__(self, root: bytes) -> None:
        """Start from the root the device was made with, or one it accepted earlier; it must be signed by itself.

        Raises:
            RefusedError: `tuf-malformed`, `tuf-signatures-missing`.
        """
        document, found = _read_root(root)
        _require_signatures(document, found, Role.ROOT)
        self.root = found
        self.root_data = root
        self.timestamp: Verified | None = None
        self.snapshot: Verified | None = None
        self.targets: Verified | None = None

    def resume(self, timestamp: bytes | None, snapshot: bytes | None, targets: bytes | None) -> None:
        """Take up what this device accepted in an earlier run, expired or not; nothing older is accepted from now on.

        What the keys of the present root have not signed is forgotten. If that is the timestamp or the snapshot, the
        run ended between a root with other online keys and the forgetting of all the old keys have signed.
        """
        try:
            earlier = None if timestamp is None else self._read(timestamp, Role.TIMESTAMP, TIMESTAMP_MAX_OCTETS)
            described = None if snapshot is None else self._read(snapshot, Role.SNAPSHOT, TARGETS_MAX_OCTETS)
        except RefusedError:
            return
        self.timestamp, self.snapshot = earlier, described
        with suppress(RefusedError):
            self.targets = None if targets is None else self._read(targets, Role.TARGETS, TARGETS_MAX_OCTETS)

    def update_root(self, data: bytes) -> None:
        """Take the next root: signed by the present one's keys and by its own. An expired one is a step on the way.

        Raises:
            RefusedError: `tuf-malformed`, `tuf-root-version`, `tuf-signatures-missing`.
        """
        document, new = _read_root(data)
        if new.version != self.root.version + 1:
            raise RefusedError(
                "tuf-root-version",
                f"After root {self.root.version} comes root {self.root.version + 1}, not {new.version}.",
            )
        _require_signatures(document, self.root, Role.ROOT)
        _require_signatures(document, new, Role.ROOT)
        if self._replaces_online_keys(new):
            # Whoever held the old keys may have counted up to a version nobody can reach (TUF specification 5.3.11).
            self.timestamp = self.snapshot = self.targets = None
        self.root, self.root_data = new, data

    def update_timestamp(self, data: bytes, *, now: datetime) -> None:
        """Take a timestamp; the root must not have expired by now.

        Raises:
            RefusedError: `tuf-root-expired`, `tuf-malformed`, `tuf-too-long`, `tuf-signatures-missing`, `tuf-expired`,
                `tuf-rollback`.
        """
        if self.root.expires <= now:
            raise RefusedError("tuf-root-expired", f"The newest root has expired on {self.root.expires:%Y-%m-%d}.")
        new = self._read(data, Role.TIMESTAMP, TIMESTAMP_MAX_OCTETS)
        _require_not_expired(Role.TIMESTAMP, new, now)
        described = _described(new.body, "snapshot.json", must_tell_all=True)
        _require_not_older(Role.TIMESTAMP, new.version, self.timestamp)
        _require_not_older(Role.SNAPSHOT, described.version, self.snapshot)
        if self.timestamp is not None:
            _require_not_announced_older(Role.SNAPSHOT, described.version, self.snapshot_described())
        self.timestamp = new

    def update_snapshot(self, data: bytes, *, now: datetime) -> None:
        """Take the snapshot that the timestamp describes.

        Raises:
            RefusedError: `tuf-order`, `tuf-mix-and-match`, `tuf-malformed`, `tuf-too-long`, `tuf-signatures-missing`,
                `tuf-expired`, `tuf-rollback`.
        """
        described = self.snapshot_described()
        _require_described(Role.SNAPSHOT, data, described)
        new = self._read(data, Role.SNAPSHOT, described.most_octets)
        _require_not_expired(Role.SNAPSHOT, new, now)
        _require_version(Role.SNAPSHOT, new, described)
        _require_not_older(Role.SNAPSHOT, new.version, self.snapshot)
        targets_version = _described(new.body, "targets.json").version
        _require_not_older(Role.TARGETS, targets_version, self.targets)
        if self.snapshot is not None:
            _require_not_announced_older(Role.TARGETS, targets_version, self.targets_described())
        self.snapshot = new

    def update_targets(self, data: bytes, *, now: datetime) -> None:
        """Take the targets that the snapshot describes.

        Raises:
            RefusedError: as `update_snapshot`.
        """
        new = self.verify_targets(data)
        _require_not_expired(Role.TARGETS, new, now)
        self.targets = new

    def verify_targets(self, data: bytes) -> Verified:
        """Judge targets by every rule of `update_targets` except their expiry, and do not take them.

        For whoever signs them anew: that is due the more, the longer ago they expired.

        Raises:
            RefusedError: as `update_snapshot`, `tuf-expired` aside.
        """
        described = self.targets_described()
        _require_described(Role.TARGETS, data, described)
        new = self._read(data, Role.TARGETS, described.most_octets)
        _require_version(Role.TARGETS, new, described)
        _require_not_older(Role.TARGETS, new.version, self.targets)
        if not isinstance(_member(new.body, "targets"), dict):
            raise _malformed(Role.TARGETS, "`targets` is not an object")
        return new

    def snapshot_described(self) -> Described:
        """Return what the accepted timestamp says of the snapshot. Raises RefusedError `tuf-order`."""
        return _described(_require(self.timestamp, Role.TIMESTAMP).body, "snapshot.json", must_tell_all=True)

    def targets_described(self) -> Described:
        """Return what the accepted snapshot says of the targets. Raises RefusedError `tuf-order`."""
        return _described(_require(self.snapshot, Role.SNAPSHOT).body, "targets.json")

    def _replaces_online_keys(self, new: Root) -> bool:
        return any(
            set(new.roles[role].key_ids) != set(self.root.roles[role].key_ids)
            for role in (Role.TIMESTAMP, Role.SNAPSHOT)
        )

    def _read(self, data: bytes, role: Role, max_octets: int) -> Verified:
        kept = {Role.TIMESTAMP: self.timestamp, Role.SNAPSHOT: self.snapshot, Role.TARGETS: self.targets}[role]
        if kept is not None and kept.data == data and kept.root_version == self.root.version:
            return kept
        document = _parse(data, role, max_octets)
        if document.signed.get("_type") != role.type_name:
            raise _malformed(role, f"`_type` is not {role.type_name}")
        _require_signatures(document, self.root, role)
        version, expires = document.signed.get("version"), _expiry(document, role)
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise _malformed(role, "`version` is not an integer from 1 on")
        return Verified(data, version, expires, document.signed, self.root.version)


def too_long(role: Role, max_octets: int) -> RefusedError:
    """Return the refusal of a document that is longer than a device reads, or than was announced."""
    return RefusedError("tuf-too-long", f"The {role} is longer than the {max_octets} bytes that are read of it.")


def _read_root(data: bytes) -> tuple[Document, Root]:
    document = _parse(data, Role.ROOT, ROOT_MAX_OCTETS)
    try:
        return document, read_root(document.signed)
    except InvalidInputError as exc:
        raise _malformed(Role.ROOT, exc.detail) from exc


def _parse(data: bytes, role: Role, max_octets: int) -> Document:
    try:
        document = parse_document(data, max_octets=max_octets)
    except InvalidInputError as exc:
        if exc.code == "json-too-long":
            raise too_long(role, max_octets) from exc
        raise _malformed(role, exc.detail) from exc
    unsafe = find_unsafe(document.signed)
    if unsafe is not None:
        raise _malformed(role, unsafe)
    return document


def _expiry(document: Document, role: Role) -> datetime:
    try:
        return parse_time(document.signed.get("expires"))
    except InvalidInputError as exc:
        raise _malformed(role, exc.detail) from exc


def _require_signatures(document: Document, root: Root, role: Role) -> None:
    keys: RoleKeys = root.roles[role]
    found = len(signed_by(document.payload, document.signatures, root.keys, keys.key_ids))
    if found < keys.threshold:
        raise RefusedError(
            "tuf-signatures-missing",
            f"The {role} has {found} of the {keys.threshold} signatures that root {root.version} asks for.",
        )


def _described(body: Json, name: str, *, must_tell_all: bool = False) -> Described:
    entry = _member(_member(body, "meta"), name)
    version, length, digest = _member(entry, "version"), _member(entry, "length"), _member(entry, "hashes")
    value = _member(digest, "sha256")
    is_told = isinstance(length, int) and length > 0 and isinstance(value, str)
    if not isinstance(version, int) or version < 1 or (must_tell_all and not is_told):
        raise RefusedError("tuf-malformed", f"`meta` does not describe {name} as devices need it.")
    return Described(version, length if isinstance(length, int) else None, value if isinstance(value, str) else None)


def _member(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _require_described(role: Role, data: bytes, described: Described) -> None:
    wrong_length = described.length is not None and len(data) != described.length
    if wrong_length or (described.sha256 is not None and sha256(data).hex() != described.sha256):
        raise RefusedError("tuf-mix-and-match", f"The {role} is not the one that was announced (length or hash).")


def _require_version(role: Role, new: Verified, described: Described) -> None:
    if new.version != described.version:
        raise RefusedError(
            "tuf-mix-and-match", f"The {role} has version {new.version}; announced was {described.version}."
        )


def _require_not_expired(role: Role, new: Verified, now: datetime) -> None:
    if new.expires <= now:
        raise RefusedError("tuf-expired", f"The {role} has expired on {new.expires:%Y-%m-%d %H:%M} UTC (freeze?).")


def _require_not_announced_older(role: Role, version: int, announced: Described) -> None:
    """What a signed document has announced counts as seen, fetched or not (TUF specification 5.4.3, 5.5.5)."""
    if version < announced.version:
        raise RefusedError(
            "tuf-rollback", f"The {role} {version} is older than {announced.version}, which was announced already."
        )


def _require_not_older(role: Role, version: int, stored: Verified | None) -> None:
    if stored is not None and version < stored.version:
        raise RefusedError(
            "tuf-rollback", f"The {role} {version} is older than {stored.version}, which was seen already."
        )


def _require(stored: Verified | None, role: Role) -> Verified:
    if stored is None:
        raise RefusedError("tuf-order", f"A {role} must be accepted first.")
    return stored


def _malformed(role: Role, reason: str) -> RefusedError:
    return RefusedError("tuf-malformed", f"The {role} cannot be read: {reason.removesuffix('.')}.")
