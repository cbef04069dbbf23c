"""A factory's TUF repository as it is stored, and what a transaction can be asked and told of it.

The rules are those of `ports`. Documents are the bytes that are served. Production documents are those of devices whose
certificate says so; before the first change of the roots there is no production chain of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ownroot.tuf.canonical import Json
from ownroot.tuf.metadata import Role
from ownroot.tuf.repository import TagDocuments
from ownroot.tuf.updates import RootUpdate


@dataclass(frozen=True, slots=True)
class SealedTufKey:
    """A private key of the server's, sealed. The role root is that of the first root key alone."""

    role: Role
    key_id: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class StoredUpdate:
    """A change of the roots under way, and the hash of what lets others than its initiator continue it."""

    update: RootUpdate
    txid_sha256: bytes


@dataclass(frozen=True, slots=True)
class TagRef:
    """The documents of one tag, for test devices or for production devices."""

    factory_id: int
    production: bool
    tag: str


class TufRepositories(Protocol):
    """Roots and keys, a change under way, and what devices fetch."""

    def exists(self, factory_id: int) -> bool: ...
    def create(self, factory_id: int) -> None:
        """Raises ConflictError `tuf-repository-exists`."""
        ...

    def next_version(self, factory_id: int, *, production: bool) -> int:
        """Count: a number that no document of this chain has had. The first is 1."""
        ...

    def add_root(self, factory_id: int, version: int, document: bytes, *, production: bool) -> None: ...
    def find_root(self, factory_id: int, version: int | None, *, production: bool) -> bytes | None:
        """Return a root; version None is the newest. What production has no root of its own for, it shares with CI."""
        ...

    def keys(self, factory_id: int, *, staged: bool) -> Mapping[Role, SealedTufKey]: ...
    def put_key(self, factory_id: int, key: SealedTufKey, *, staged: bool) -> None:
        """Store a key in place of the role's earlier one, which is gone then."""
        ...

    def drop_key(self, factory_id: int, role: Role, *, staged: bool) -> None:
        """Forget a private key; no error if there is none."""
        ...

    def find_update(self, factory_id: int) -> StoredUpdate | None: ...
    def put_update(self, factory_id: int, stored: StoredUpdate) -> None: ...
    def drop_update(self, factory_id: int) -> None:
        """End the change, and forget the keys that were staged for it."""
        ...

    def tags(self, factory_id: int, *, production: bool) -> Sequence[str]: ...
    def documents(self, ref: TagRef) -> TagDocuments | None: ...
    def put_documents(self, ref: TagRef, documents: TagDocuments) -> None: ...
    def expiring(self, *, production: bool, before: datetime, limit: int) -> Sequence[TagRef]:
        """Tags of one kind of devices whose documents end before then, the earliest first."""
        ...

    def targets(self, factory_id: int, tag: str) -> Mapping[str, Json]:
        """Test devices' targets of a tag, by name."""
        ...

    def put_target(self, factory_id: int, tag: str, name: str, entry: Json) -> None:
        """Raises ConflictError `tuf-target-exists`: published targets never change."""
        ...

    def drop_target(self, factory_id: int, tag: str, name: str) -> bool:
        """Returns whether there was one."""
        ...
