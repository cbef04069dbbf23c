"""`ownroot backup`: one consistent archive of a server's data, whether it serves or not.

The key-encryption key never goes in. The archive appears under its name whole or not at all, and never in place of
another one.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ownroot import __version__
from ownroot.bootstrap.archive import SignedManifest, write_archive
from ownroot.bootstrap.backup_manifest import BackupManifest, code_of, encode, kek_check
from ownroot.bootstrap.hardening import forbid_core_dumps
from ownroot.bootstrap.installation import find_kek, keyring_of, make_data_dir
from ownroot.clock import utc_now
from ownroot.config import Settings
from ownroot.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from ownroot.keystore.durable import sync_directory
from ownroot.keystore.kek import Kek
from ownroot.services.records import SealedKeyPurpose
from ownroot.storage import CopyFacts, copy_database, inspect_copy, sqlite_file


def make_backup(settings: Settings, file: Path) -> BackupManifest:
    """Write a backup; the database may be in use, and is not migrated.

    Raises:
        ConflictError: `backup-exists`, `schema-unknown`.
        NotFoundError: `database-missing`.
        InvalidInputError: `backup-postgres`.
        KeyStoreError: the key-encryption key is missing or not the one of this database.
        RefusedError: `database-damaged`.
        UnavailableError: `backup-unwritable`, `backup-snapshot-failed`.
    """
    forbid_core_dumps()
    database = require_sqlite(settings)
    if not database.is_file():
        raise NotFoundError("database-missing", f"There is no database {database}. Is --data the right directory?")
    make_data_dir(settings.data_dir)
    kek = find_kek(settings.data_dir, settings.kek_token, may_make=False)
    with _unwritable(file):
        if file.exists() or file.is_symlink():
            raise FileExistsError
        # Its own directory, readable by us alone, so that whatever a killed backup leaves lies in one place.
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder:
            return _write(Path(folder), database, kek, file)


def require_sqlite(settings: Settings) -> Path:
    """Return the database's file.

    Raises:
        InvalidInputError: `backup-postgres`.
    """
    file = sqlite_file(settings.database_url)
    if file is None:
        raise InvalidInputError(
            "backup-postgres",
            "Only SQLite is backed up and restored by this command. For PostgreSQL use its own tools (pg_dump and "
            "pg_restore, or a base backup), and keep apart from that the key-encryption key (the file kek of the data "
            "directory, OWNROOT_KEK, or a clone of the token) and the settings file.",
        )
    return file


def require_kek_of(facts: CopyFacts, kek: Kek) -> None:
    """Find out that a key-encryption key opens the keys of a database.

    Raises:
        KeyStoreError: `sealed-unreadable`.
    """
    keyring = keyring_of({purpose: kek.sub_key(purpose.value) for purpose in SealedKeyPurpose})
    for sealed in facts.shared_keys:
        keyring.open(sealed)


def _write(folder: Path, database: Path, kek: Kek, file: Path) -> BackupManifest:
    made_at = utc_now()
    copy = folder / "copy"
    copy_database(database, copy)
    facts = inspect_copy(copy)
    require_kek_of(facts, kek)
    with copy.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    manifest = BackupManifest(
        program=__version__,
        schema=facts.schema,
        made_at=made_at,
        database_bytes=copy.stat().st_size,
        database_sha256=sha256,
        audit_size=facts.audit.size,
        audit_root=facts.audit.root.hex(),
        trust_generation=facts.trust_generation,
        devices=facts.devices,
        kek_check=kek_check(kek),
    )
    text = encode(manifest)
    complete = folder / "archive"
    with os.fdopen(os.open(complete, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        write_archive(stream, SignedManifest(text, code_of(text, kek)), copy)
        stream.flush()
        os.fsync(stream.fileno())
    os.link(complete, file)  # unlike a rename it fails when the name is taken
    sync_directory(file.parent)
    return manifest


@contextmanager
def _unwritable(file: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as exc:
        raise ConflictError(
            "backup-exists", f"{file} is there already, and a backup never replaces another. Choose another name."
        ) from exc
    except OSError as exc:
        raise UnavailableError(
            "backup-unwritable",
            f"The backup {file} cannot be written: {exc.strerror}. Nothing is there under this name.",
            retry_after=60,
        ) from exc
