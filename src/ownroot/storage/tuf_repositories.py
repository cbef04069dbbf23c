"""TUF repositories: roots, sealed keys, a change under way, and what devices fetch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError
from ownroot.services.tuf_store import SealedTufKey, StoredUpdate, TagRef
from ownroot.storage.inserts import insert, insert_if_absent, upsert
from ownroot.storage.schema import (
    tuf_documents,
    tuf_keys,
    tuf_repositories,
    tuf_roots,
    tuf_targets,
    tuf_updates,
)
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds
from ownroot.tuf.canonical import Json, decode, encode
from ownroot.tuf.metadata import ROOT_MAX_OCTETS, Document, Role, parse_document
from ownroot.tuf.repository import TagDocuments
from ownroot.tuf.root_rules import Chains
from ownroot.tuf.signatures import parse_signatures
from ownroot.tuf.updates import RootUpdate

_MAX_JSON: Final = 16 * 1024 * 1024  # our own rows; a bound for the reader, never reached

_CREATE: Final = insert_if_absent(tuf_repositories, "factory_id", "ci_version", "production_version")
_EXISTS: Final = Statement(
    sa.select(tuf_repositories.c.factory_id).where(tuf_repositories.c.factory_id == param("factory"))
)
_COUNT: Final = {
    production: Statement(
        sa.update(tuf_repositories)
        .where(tuf_repositories.c.factory_id == param("factory"))
        .values({column.name: column + sa.literal_column("1")})
    )
    for production, column in (
        (False, tuf_repositories.c.ci_version),
        (True, tuf_repositories.c.production_version),
    )
}
_VERSIONS: Final = Statement(
    sa.select(tuf_repositories.c.ci_version, tuf_repositories.c.production_version).where(
        tuf_repositories.c.factory_id == param("factory")
    )
)

_ADD_ROOT: Final = insert(tuf_roots, "factory_id", "version", "production", "document")
_OF_CHAIN: Final = (tuf_roots.c.factory_id == param("factory"), tuf_roots.c.production == param("of_production"))
_ROOT: Final = Statement(sa.select(tuf_roots.c.document).where(*_OF_CHAIN, tuf_roots.c.version == param("wanted")))
_NEWEST_ROOT: Final = Statement(
    sa.select(tuf_roots.c.document).where(*_OF_CHAIN).order_by(tuf_roots.c.version.desc()).limit(sa.literal_column("1"))
)

_KEYS: Final = Statement(
    sa.select(tuf_keys.c.role, tuf_keys.c.key_id, tuf_keys.c.sealed).where(
        tuf_keys.c.factory_id == param("factory"), tuf_keys.c.staged == param("are_staged")
    )
)
_PUT_KEY: Final = upsert(
    tuf_keys,
    "factory_id",
    "role",
    "staged",
    "key_id",
    "sealed",
    conflict=("factory_id", "role", "staged"),
    update=lambda new: {"key_id": new.key_id, "sealed": new.sealed},
)
_DROP_KEY: Final = Statement(
    sa.delete(tuf_keys).where(
        tuf_keys.c.factory_id == param("factory"),
        tuf_keys.c.role == param("of_role"),
        tuf_keys.c.staged == param("is_staged"),
    )
)
_DROP_STAGED_KEYS: Final = Statement(
    sa.delete(tuf_keys).where(tuf_keys.c.factory_id == param("factory"), tuf_keys.c.staged == sa.true())
)

_UPDATE_COLUMNS: Final = (
    "txid_sha256",
    "initiator",
    "first_time",
    "ci_root",
    "production_root",
    "online_keys",
    "targets_signatures",
    "created_at",
    "updated_by",
    "updated_at",
)
_FIND_UPDATE: Final = Statement(
    sa.select(*(tuf_updates.c[name] for name in _UPDATE_COLUMNS)).where(tuf_updates.c.factory_id == param("factory"))
)
_PUT_UPDATE: Final = upsert(
    tuf_updates,
    "factory_id",
    *_UPDATE_COLUMNS,
    conflict=("factory_id",),
    update=lambda new: {name: new[name] for name in _UPDATE_COLUMNS},
)
_DROP_UPDATE: Final = Statement(sa.delete(tuf_updates).where(tuf_updates.c.factory_id == param("factory")))

_OF_TAGS: Final = (
    tuf_documents.c.factory_id == param("factory"),
    tuf_documents.c.production == param("of_production"),
)
_TAGS: Final = Statement(sa.select(tuf_documents.c.tag).where(*_OF_TAGS).order_by(tuf_documents.c.tag))
_DOCUMENTS: Final = Statement(
    sa.select(
        tuf_documents.c.version,
        tuf_documents.c.timestamp,
        tuf_documents.c.snapshot,
        tuf_documents.c.targets,
        tuf_documents.c.expires_at,
    ).where(*_OF_TAGS, tuf_documents.c.tag == param("wanted"))
)
_PUT_DOCUMENTS: Final = upsert(
    tuf_documents,
    "factory_id",
    "production",
    "tag",
    "version",
    "timestamp",
    "snapshot",
    "targets",
    "expires_at",
    conflict=("factory_id", "production", "tag"),
    update=lambda new: {name: new[name] for name in ("version", "timestamp", "snapshot", "targets", "expires_at")},
)
_EXPIRING: Final = Statement(
    sa.select(tuf_documents.c.factory_id, tuf_documents.c.tag)
    .where(tuf_documents.c.production == param("of_production"), tuf_documents.c.expires_at < param("moment"))
    .order_by(tuf_documents.c.expires_at)
    .limit(param("most", sa.Integer))
)

_OF_TAG: Final = (tuf_targets.c.factory_id == param("factory"), tuf_targets.c.tag == param("of_tag"))
_TARGETS: Final = Statement(sa.select(tuf_targets.c.name, tuf_targets.c.entry).where(*_OF_TAG))
_PUT_TARGET: Final = insert_if_absent(tuf_targets, "factory_id", "tag", "name", "entry")
_DROP_TARGET: Final = Statement(sa.delete(tuf_targets).where(*_OF_TAG, tuf_targets.c.name == param("wanted")))


class SqlTufRepositories:
    """Implements `services.tuf_store.TufRepositories`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def exists(self, factory_id: int) -> bool:
        return self._session.one(_EXISTS, factory=factory_id) is not None

    def create(self, factory_id: int) -> None:
        if not self._session.run(_CREATE, factory_id=factory_id, ci_version=0, production_version=0):
            raise ConflictError("tuf-repository-exists", "The factory has a TUF repository already.")

    def next_version(self, factory_id: int, *, production: bool) -> int:
        self._session.run(_COUNT[production], factory=factory_id)
        versions = self._session.one(_VERSIONS, factory=factory_id)
        if versions is None:
            raise AssertionError("versions are counted in a repository")
        return int(versions[1] if production else versions[0])

    def add_root(self, factory_id: int, version: int, document: bytes, *, production: bool) -> None:
        self._session.run(_ADD_ROOT, factory_id=factory_id, version=version, production=production, document=document)

    def find_root(self, factory_id: int, version: int | None, *, production: bool) -> bytes | None:
        for chain in (True, False) if production else (False,):
            row = (
                self._session.one(_NEWEST_ROOT, factory=factory_id, of_production=chain)
                if version is None
                else self._session.one(_ROOT, factory=factory_id, of_production=chain, wanted=version)
            )
            if row is not None:
                return bytes(row[0])
        return None

    def keys(self, factory_id: int, *, staged: bool) -> Mapping[Role, SealedTufKey]:
        rows = self._session.all(_KEYS, factory=factory_id, are_staged=staged)
        return {Role(role): SealedTufKey(Role(role), key_id, bytes(sealed)) for role, key_id, sealed in rows}

    def put_key(self, factory_id: int, key: SealedTufKey, *, staged: bool) -> None:
        self._session.run(
            _PUT_KEY, factory_id=factory_id, role=key.role.value, staged=staged, key_id=key.key_id, sealed=key.sealed
        )

    def drop_key(self, factory_id: int, role: Role, *, staged: bool) -> None:
        self._session.run(_DROP_KEY, factory=factory_id, of_role=role.value, is_staged=staged)

    def find_update(self, factory_id: int) -> StoredUpdate | None:
        row = self._session.one(_FIND_UPDATE, factory=factory_id)
        return None if row is None else _read_update(row)

    def put_update(self, factory_id: int, stored: StoredUpdate) -> None:
        update = stored.update
        production = update.staged.production
        signatures = {tag: [one.document() for one in made] for tag, made in sorted(update.targets_signatures.items())}
        self._session.run(
            _PUT_UPDATE,
            factory_id=factory_id,
            txid_sha256=stored.txid_sha256,
            initiator=update.initiator,
            first_time=update.is_first_time,
            ci_root=update.staged.ci.encoded(),
            production_root=None if production is None else production.encoded(),
            online_keys=encode({role.value: key_id for role, key_id in update.online_keys.items()}).decode(),
            targets_signatures=encode(signatures).decode(),
            created_at=to_seconds(update.created_at),
            updated_by=update.updated_by,
            updated_at=to_seconds(update.updated_at),
        )

    def drop_update(self, factory_id: int) -> None:
        self._session.run(_DROP_UPDATE, factory=factory_id)
        self._session.run(_DROP_STAGED_KEYS, factory=factory_id)

    def tags(self, factory_id: int, *, production: bool) -> Sequence[str]:
        return [row[0] for row in self._session.all(_TAGS, factory=factory_id, of_production=production)]

    def documents(self, ref: TagRef) -> TagDocuments | None:
        row = self._session.one(_DOCUMENTS, factory=ref.factory_id, of_production=ref.production, wanted=ref.tag)
        if row is None:
            return None
        version, timestamp, snapshot, targets, expires_at = row
        return TagDocuments(version, bytes(timestamp), bytes(snapshot), bytes(targets), from_seconds(expires_at))

    def put_documents(self, ref: TagRef, documents: TagDocuments) -> None:
        self._session.run(
            _PUT_DOCUMENTS,
            factory_id=ref.factory_id,
            production=ref.production,
            tag=ref.tag,
            version=documents.version,
            timestamp=documents.timestamp,
            snapshot=documents.snapshot,
            targets=documents.targets,
            expires_at=to_seconds(documents.expires),
        )

    def expiring(self, *, production: bool, before: datetime, limit: int) -> Sequence[TagRef]:
        rows = self._session.all(_EXPIRING, of_production=production, moment=to_seconds(before), most=limit)
        return [TagRef(factory_id, production, tag) for factory_id, tag in rows]

    def targets(self, factory_id: int, tag: str) -> Mapping[str, Json]:
        rows = self._session.all(_TARGETS, factory=factory_id, of_tag=tag)
        return {name: decode(entry, max_octets=_MAX_JSON) for name, entry in rows}

    def put_target(self, factory_id: int, tag: str, name: str, entry: Json) -> None:
        text = encode(entry).decode()
        if not self._session.run(_PUT_TARGET, factory_id=factory_id, tag=tag, name=name, entry=text):
            raise ConflictError(
                "tuf-target-exists",
                f"There is a target {name} for the tag {tag} already. A published target never changes: give the new "
                "one another version.",
            )

    def drop_target(self, factory_id: int, tag: str, name: str) -> bool:
        return self._session.run(_DROP_TARGET, factory=factory_id, of_tag=tag, wanted=name) > 0


def _read_update(row: Row) -> StoredUpdate:
    txid, initiator, first_time, ci, production, online_keys, signatures, created_at, updated_by, updated_at = row
    update = RootUpdate(
        initiator=initiator,
        is_first_time=bool(first_time),
        created_at=from_seconds(created_at),
        updated_by=updated_by,
        updated_at=from_seconds(updated_at),
        staged=Chains(_document(ci), None if production is None else _document(production)),
        online_keys={Role(role): str(key_id) for role, key_id in _object(online_keys).items()},
        targets_signatures={tag: parse_signatures(made) for tag, made in _object(signatures).items()},
    )
    return StoredUpdate(update, bytes(txid))


def _document(stored: bytes) -> Document:
    return parse_document(bytes(stored), max_octets=2 * ROOT_MAX_OCTETS)


def _object(text: str) -> dict[str, Json]:
    found = decode(text, max_octets=_MAX_JSON)
    if not isinstance(found, dict):
        raise AssertionError("we wrote an object")
    return found
