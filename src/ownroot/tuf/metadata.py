"""The four kinds of documents, and a document as it is stored and served (protocol: tuf.md §2.4-2.5).

A document is served as its canonical form, byte for byte: hashes and lengths of the next role cover the whole of it,
and what an owner signed is never written anew.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeGuard

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import sha256
from ownroot.tuf.canonical import Json, decode, encode
from ownroot.tuf.keys import TufKey, parse_key
from ownroot.tuf.signatures import Signature, is_key_id, parse_signatures

ROOT_MAX_OCTETS: Final = 64 * 1024
TIMESTAMP_MAX_OCTETS: Final = 16 * 1024
TARGETS_MAX_OCTETS: Final = 5 * 1024 * 1024
_MAX_THRESHOLD: Final = 1000
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_TIME_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z", re.ASCII)
_ROOT_MEMBERS: Final = frozenset(("_type", "consistent_snapshot", "expires", "version", "keys", "roles"))
_ROOT_EXTRAS: Final = frozenset(("x-changelog", "x-key-owners"))


class Role(StrEnum):
    """The roles of a root, by the names documents use."""

    ROOT = "root"
    TARGETS = "targets"
    SNAPSHOT = "snapshot"
    TIMESTAMP = "timestamp"

    @property
    def type_name(self) -> str:
        """`_type` of the role's documents."""
        return self.value.capitalize()


ONLINE_ROLES: Final = (Role.TARGETS, Role.SNAPSHOT, Role.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """Who signs for a role, in the order of the document, and how many of them must."""

    key_ids: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class Changelog:
    """Who changed the root, why and when."""

    polis_id: str
    message: str
    timestamp: str


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Who made an offline key, and when."""

    polis_id: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Root:
    """The signed part of a root.

    Attributes:
        expires: aware UTC, whole seconds.
        keys: by key id; each id is the true one.
        owners: of offline keys, by key id.
    """

    version: int
    expires: datetime
    keys: Mapping[str, TufKey]
    roles: Mapping[Role, RoleKeys]
    changelog: Changelog | None = None
    owners: Mapping[str, KeyOwner] = field(default_factory=lambda: MappingProxyType({}))

    def signed(self) -> dict[str, Json]:
        """Return the signed part as a document shows it; `canonical.encode` of it is what is signed."""
        signed: dict[str, Json] = {
            "_type": Role.ROOT.type_name,
            "consistent_snapshot": False,
            "expires": format_time(self.expires),
            "version": self.version,
            "keys": {key_id: key.document() for key_id, key in self.keys.items()},
            "roles": {
                role.value: {"keyids": list(keys.key_ids), "threshold": keys.threshold}
                for role, keys in self.roles.items()
            },
        }
        if self.changelog is not None:
            log = self.changelog
            signed["x-changelog"] = {"polis-id": log.polis_id, "message": log.message, "timestamp": log.timestamp}
        if self.owners:
            signed["x-key-owners"] = {
                key_id: {"polis-id": owner.polis_id, "created-at": owner.created_at}
                for key_id, owner in self.owners.items()
            }
        return signed


@dataclass(frozen=True, slots=True)
class Document:
    """A document of any kind. `signed` is read as JSON and no further."""

    signed: dict[str, Json]
    signatures: tuple[Signature, ...] = ()

    @property
    def payload(self) -> bytes:
        """What its signatures sign."""
        return encode(self.signed)

    def encoded(self) -> bytes:
        """Return what is stored, hashed and served."""
        return encode({"signatures": [one.document() for one in self.signatures], "signed": self.signed})


def parse_document(data: bytes | str, *, max_octets: int) -> Document:
    """Read a document from its bytes.

    Raises:
        InvalidInputError: codes of `canonical.decode` and `read_document`.
    """
    return read_document(decode(data, max_octets=max_octets))


def read_document(value: Json) -> Document:
    """Read a document from JSON.

    Raises:
        InvalidInputError: `tuf-document-invalid`, `tuf-signature-invalid`, `tuf-signature-repeated`.
    """
    if not isinstance(value, dict) or set(value) != {"signatures", "signed"} or not isinstance(value["signed"], dict):
        raise _invalid("a document is an object of `signatures` and `signed`")
    return Document(value["signed"], parse_signatures(value["signatures"]))


def read_root(signed: Mapping[str, Json]) -> Root:
    """Read the signed part of a root. Rules about who may be in which role are `root_rules`'.

    Raises:
        InvalidInputError: `tuf-document-invalid`: a member is missing, unknown or not of its kind; `tuf-key-id-wrong`:
            a key is not listed under its own id; `tuf-key-invalid`, `tuf-key-private`.
    """
    if not _ROOT_MEMBERS <= set(signed) <= _ROOT_MEMBERS | _ROOT_EXTRAS:
        raise _invalid("a root has the members of the protocol and no others")
    if signed["_type"] != Role.ROOT.type_name or signed["consistent_snapshot"] is not False:
        raise _invalid("`_type` is Root and `consistent_snapshot` is false")
    return Root(
        version=_version(signed["version"]),
        expires=parse_time(signed["expires"]),
        keys=MappingProxyType(_keys(signed["keys"])),
        roles=MappingProxyType(_roles(signed["roles"])),
        changelog=_changelog(signed.get("x-changelog")),
        owners=MappingProxyType(_owners(signed.get("x-key-owners"))),
    )


def new_targets(version: int, expires: datetime, targets: Mapping[str, Json]) -> dict[str, Json]:
    """Return the signed part of a targets document."""
    return _signed(Role.TARGETS, version, expires) | {"targets": dict(targets)}


def new_snapshot(version: int, expires: datetime, targets: bytes, *, targets_version: int) -> dict[str, Json]:
    """Return the signed part of a snapshot over the served bytes of a targets document."""
    meta: dict[str, Json] = {"targets.json": _described(targets, targets_version)}
    return _signed(Role.SNAPSHOT, version, expires) | {"meta": meta}


def new_timestamp(version: int, expires: datetime, snapshot: bytes, *, snapshot_version: int) -> dict[str, Json]:
    """Return the signed part of a timestamp over the served bytes of a snapshot."""
    meta: dict[str, Json] = {"snapshot.json": _described(snapshot, snapshot_version)}
    return _signed(Role.TIMESTAMP, version, expires) | {"meta": meta}


def version_of(document: Document) -> int:
    """Return the version of a document of any kind.

    Raises:
        InvalidInputError: `tuf-document-invalid`.
    """
    return _version(document.signed.get("version"))


def format_time(moment: datetime) -> str:
    """Write a time in the one form that all readers compare alike: 20 characters, UTC."""
    return moment.astimezone(UTC).strftime(_TIME)


def parse_time(value: Json) -> datetime:
    """Read a time.

    Raises:
        InvalidInputError: `tuf-document-invalid`.
    """
    if not isinstance(value, str) or _TIME_FORM.match(value) is None:
        raise _invalid("times are written YYYY-MM-DDTHH:MM:SSZ")
    try:
        return datetime.strptime(value, _TIME).replace(tzinfo=UTC)
    except ValueError as exc:
        raise _invalid("a time does not exist") from exc


def is_time(text: str) -> bool:
    """Is this a time, in the form of `format_time`?"""
    try:
        parse_time(text)
    except InvalidInputError:
        return False
    return True


def _signed(role: Role, version: int, expires: datetime) -> dict[str, Json]:
    return {"_type": role.type_name, "expires": format_time(expires), "version": version}


def _described(served: bytes, version: int) -> Json:
    return {"version": version, "length": len(served), "hashes": {"sha256": sha256(served).hex()}}


def _version(value: Json) -> int:
    if not _is_count(value):
        raise _invalid("`version` is an integer from 1 on")
    return value


def _keys(value: Json) -> dict[str, TufKey]:
    found: dict[str, TufKey] = {}
    for key_id, document in _members(value, "keys").items():
        key = parse_key(document)
        if key.key_id != key_id:
            raise InvalidInputError(
                "tuf-key-id-wrong", f"The key listed as {key_id[:64]} has the id {key.key_id} (SHA-256 of its DER)."
            )
        found[key_id] = key
    return found


def _roles(value: Json) -> dict[Role, RoleKeys]:
    roles = _members(value, "roles")
    if set(roles) != set(Role):
        raise _invalid("`roles` names root, targets, snapshot and timestamp, and no others")
    return {role: _role(roles[role]) for role in Role}


def _role(value: Json) -> RoleKeys:
    role = _members(value, "a role")
    key_ids, threshold = role.get("keyids"), role.get("threshold")
    if set(role) != {"keyids", "threshold"} or not isinstance(key_ids, list) or not all(map(is_key_id, key_ids)):
        raise _invalid("a role is an object of `keyids` and `threshold`")
    if not _is_count(threshold) or threshold > _MAX_THRESHOLD:
        raise _invalid(f"a threshold is an integer from 1 to {_MAX_THRESHOLD}")
    return RoleKeys(tuple(key_ids), threshold)


def _changelog(value: Json) -> Changelog | None:
    if value is None:
        return None
    log = _texts(value, ("polis-id", "message", "timestamp"), "x-changelog")
    return Changelog(log["polis-id"], log["message"], log["timestamp"])


def _owners(value: Json) -> dict[str, KeyOwner]:
    if value is None:
        return {}
    owners = {
        key_id: _texts(owner, ("polis-id", "created-at"), "x-key-owners")
        for key_id, owner in _members(value, "x-key-owners").items()
    }
    return {key_id: KeyOwner(owner["polis-id"], owner["created-at"]) for key_id, owner in owners.items()}


def _texts(value: Json, names: tuple[str, ...], where: str) -> dict[str, str]:
    members = _members(value, where)
    if set(members) != set(names) or not all(isinstance(member, str) for member in members.values()):
        raise _invalid(f"`{where}` holds the texts {', '.join(names)} and nothing else")
    return {name: str(members[name]) for name in names}


def _members(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _invalid(f"`{where}` is not an object")
    return value


def _is_count(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _invalid(reason: str) -> InvalidInputError:
    return InvalidInputError("tuf-document-invalid", f"Not metadata that every reader takes alike: {reason}.")
