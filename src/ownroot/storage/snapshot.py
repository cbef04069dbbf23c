"""A copy of an SQLite database that others are writing to, and what can be read from such a copy.

The copy is one transaction's view. VACUUM INTO makes it: it holds up no writer, and what was deleted (a key that was
destroyed, say) does not travel along in free pages. Neither the original nor the copy is migrated.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ownroot.audit.merkle import Frontier, parse_frontier
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, RefusedError, UnavailableError
from ownroot.services.records import SealedKey, SealedKeyPurpose
from ownroot.storage.migrations import is_known_revision
from ownroot.storage.schema import SHARED_SCOPE

_BUSY_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """What a copy holds. `shared_keys`: the sealed keys of the shared PKI, at least one."""

    schema: str
    audit: Frontier
    trust_generation: int
    devices: int
    shared_keys: tuple[SealedKey, ...]


def companions(database: Path) -> tuple[Path, ...]:
    """Return the files SQLite may keep beside a database; one of another database would be taken for its own."""
    return tuple(database.with_name(database.name + end) for end in ("-wal", "-shm", "-journal"))


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment.

    Args:
        target: a new file, made with mode 0600; its directory is there. It is not synced.
    Raises:
        UnavailableError: `backup-snapshot-failed`.
    """
    try:
        target.touch(mode=0o600, exist_ok=False)
        with _connected(source, "rw") as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except (OSError, sqlite3.Error) as exc:
        raise UnavailableError(
            "backup-snapshot-failed",
            f"The database {source} could not be copied to {target.parent}: {exc}. The database is as it was; "
            f"if a disk is full, it is that of {target.parent}.",
            retry_after=60,
        ) from exc


def inspect_copy(copy: Path) -> CopyFacts:
    """Check a copy that nobody else uses, all of it, and read what it holds.

    Raises:
        RefusedError: `database-damaged`.
        ConflictError: `schema-unknown`: a later version of this program has migrated it.
    """
    try:
        with _connected(copy, "ro") as connection:
            _require_sound(connection)
            (schema,) = _one(connection, "SELECT version_num FROM alembic_version")
            if not is_known_revision(schema):
                raise _schema_unknown(schema)
            return _facts(connection, schema)
    except (sqlite3.Error, ValueError, TypeError, InvalidInputError) as exc:
        raise _damaged(str(exc)) from exc


def _require_sound(connection: sqlite3.Connection) -> None:
    (verdict,) = _one(connection, "PRAGMA integrity_check(1)")
    if verdict != "ok":
        raise _damaged(str(verdict))
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise _damaged("a row refers to another one that is not there")


def _facts(connection: sqlite3.Connection, schema: str) -> CopyFacts:
    size, subtrees, trust = _one(connection, "SELECT audit_size, audit_frontier, trust_generation FROM heads")
    (devices,) = _one(connection, "SELECT count(*) FROM devices")
    sealed = connection.execute(
        "SELECT spki_sha256, purpose, sealed FROM sealed_keys WHERE scope = ? AND NOT pending", (SHARED_SCOPE,)
    ).fetchall()
    if not sealed:
        raise _damaged("it does not hold the keys of the shared PKI")
    keys = tuple(SealedKey(bytes(spki), SealedKeyPurpose(purpose), bytes(text)) for spki, purpose, text in sealed)
    return CopyFacts(schema, parse_frontier(size, bytes(subtrees)), trust, devices, keys)


@contextlib.contextmanager
def _connected(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Open a database that is there; `mode` keeps SQLite from making one that is not."""
    address = f"file:{quote(str(path.absolute()))}?mode={mode}"
    connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _one(connection: sqlite3.Connection, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    if row is None:
        raise ValueError("a row that every database has is missing")
    return row


def _schema_unknown(schema: object) -> ConflictError:
    return ConflictError(
        "schema-unknown",
        f"This database has the schema {schema}, which this version of Ownroot does not know: a later version has "
        "migrated it. Use that version.",
    )


def _damaged(what: str) -> OwnrootError:
    return RefusedError(
        "database-damaged",
        f"The copy of the database is not sound: {what}. It is of no use, so nothing was put in place. "
        "Keep what you have and go back to an earlier backup.",
    )
