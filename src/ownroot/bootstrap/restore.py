"""`ownroot restore`: a backup becomes the database of an empty data directory, or nothing changes there.

What was issued after the backup is not in it, so the restore goes on record and gateways hold such certificates for
their owners (`trust.restores`). What was taken back after the backup is not in it either, and that does not fail
closed: a device CA that was revoked since would be trusted again, a device that was deleted since let in. We cannot
know; the command says so.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ownroot import __version__
from ownroot.audit.events import OPERATOR, AuditEvent, EventKind
from ownroot.bootstrap.archive import read_database, read_manifest
from ownroot.bootstrap.backup import require_kek_of, require_sqlite
from ownroot.bootstrap.backup_manifest import BackupManifest, open_manifest
from ownroot.bootstrap.hardening import forbid_core_dumps
from ownroot.bootstrap.installation import find_kek, locked, make_data_dir, unusable
from ownroot.clock import utc_now
from ownroot.config import Settings
from ownroot.errors import ConflictError, InvalidInputError, NotFoundError
from ownroot.keystore.durable import sync_directory
from ownroot.keystore.kek import KEK_FILE
from ownroot.services.ports import UnitOfWork
from ownroot.services.token_keys import forget_installation_id
from ownroot.storage import companions, inspect_copy, open_database
from ownroot.trust.restores import RestoreWindow, open_window

_SERVER_LOCK: Final = "serve.lock"
_LOCKS: Final = (_SERVER_LOCK, "setup.lock")
_WORKPLACE: Final = ".restore-"


def restore_backup(settings: Settings, file: Path) -> BackupManifest:
    """Put the database of a backup in place. On any error the directory is as it was.

    The key-encryption key must be there already, where a server looks for it. An older schema is brought up to date.

    Raises:
        ConflictError: `data-directory-in-use`, `database-exists`, `data-directory-not-empty`, `schema-unknown`.
        NotFoundError: `backup-missing`.
        InvalidInputError: `backup-unreadable`, `backup-malformed`, `backup-format-unknown`, `backup-postgres`.
        RefusedError: `backup-altered`, `database-damaged`, `clock-before-backup`.
        KeyStoreError: `kek-missing` and its like, `backup-other-kek`, `sealed-unreadable`.
        UnavailableError: the directory cannot be used.
    """
    forbid_core_dumps()
    database = require_sqlite(settings)
    _require_empty(settings.data_dir, database)
    kek = find_kek(settings.data_dir, settings.kek_token, may_make=False)
    with _opened(file) as archive:
        signed = read_manifest(archive)
        manifest = open_manifest(signed.manifest, signed.code, kek)
        window = open_window(manifest.made_at, now=utc_now())
        with _directory(settings.data_dir), _workplace(database) as folder:
            copy = folder / database.name
            with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                read_database(archive, target, size=manifest.database_bytes, sha256=manifest.database_sha256)
                target.flush()
                os.fsync(target.fileno())
            require_kek_of(inspect_copy(copy), kek)
            _record(copy, manifest, window)
            _put_in_place(copy, database)
    return manifest


def _record(copy: Path, manifest: BackupManifest, window: RestoreWindow) -> None:
    """Put the restore on record in what it brings back, which also brings the schema up to date.

    Audit log and window are one transaction: gateways hold what was issued in a window, so there must be no database
    that was restored and does not know it. From here on it is another installation than the one it is a copy of, which
    may still serve.
    """
    event = AuditEvent(
        factory_id=None,
        at=window.restored_at,
        actor=OPERATOR,
        kind=EventKind.SERVER_RESTORED,
        subject=manifest.database_sha256,
        details={"made-at": manifest.made_at.isoformat(), "made-by": manifest.program, "restored-by": __version__},
    )

    def work(uow: UnitOfWork) -> None:
        uow.restores.add(window)
        # What a device fetched after the backup is newer than all we know, and would pass for what it should have.
        uow.configs.doubt_every_copy()
        uow.audit.append(event)
        forget_installation_id(uow)

    database = open_database(copy)
    try:
        database.write(work).result()
    finally:
        database.close()


def _put_in_place(copy: Path, database: Path) -> None:
    """Give the copy its name. A link fails when the name is taken, by a server that was started meanwhile, say."""
    if companions(copy)[0].exists():
        raise ConflictError("database-exists", f"Somebody else opened {copy} while it was being restored. Start again.")
    descriptor = os.open(copy, os.O_RDONLY)  # closed by SQLite, so no lock of ours is lost
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(copy, database)
    except FileExistsError as exc:
        raise _database_exists(database) from exc
    sync_directory(database.parent)


def _require_empty(data_dir: Path, database: Path) -> None:
    lock = data_dir / _SERVER_LOCK
    beside = {database.name + end for end in ("-next", "-turn")}
    try:
        if lock.exists():
            with locked(lock, wait=False):
                pass
        for taken in (database, *companions(database)):
            if taken.exists() or taken.is_symlink():
                raise _database_exists(taken)
        entries = data_dir.iterdir() if data_dir.is_dir() else ()
        found = sorted(entry.name for entry in entries if not _is_left_behind(entry))
    except OSError as exc:
        raise unusable(data_dir, exc) from exc
    for name in found:
        if name not in {KEK_FILE, *_LOCKS, *beside}:
            raise ConflictError(
                "data-directory-not-empty",
                f"{data_dir} holds {name}. A backup is restored into a new directory, or one that holds nothing but "
                f"the key-encryption key (the file {KEK_FILE}). Nothing was changed.",
            )


def _database_exists(path: Path) -> ConflictError:
    return ConflictError(
        "database-exists",
        f"{path} is there already, and a restore never replaces a database. Restore into a new directory (--data); "
        "keep the old one until the new server is well.",
    )


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        stream = file.open("rb")
    except FileNotFoundError as exc:
        raise NotFoundError("backup-missing", f"There is no backup {file}.") from exc
    except OSError as exc:
        raise InvalidInputError("backup-unreadable", f"The backup {file} cannot be read: {exc.strerror}.") from exc
    with stream:
        yield stream


@contextmanager
def _directory(data_dir: Path) -> Iterator[None]:
    """Make the data directory if it is missing; after an error, what we made is gone again."""
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        make_data_dir(data_dir)
        yield
    except BaseException:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


@contextmanager
def _workplace(database: Path) -> Iterator[Path]:
    """Yield a directory of our own beside the database; it is gone afterwards, as is what a killed restore left."""
    try:
        with _alone_in(database.parent):
            for entry in filter(_is_left_behind, list(database.parent.iterdir())):
                shutil.rmtree(entry)
            with tempfile.TemporaryDirectory(dir=database.parent, prefix=_WORKPLACE) as folder:
                yield Path(folder)
    except OSError as exc:
        raise unusable(database.parent, exc) from exc


def _is_left_behind(entry: Path) -> bool:
    """Is it the workplace of a restore that was killed: a directory of ours that nobody else could look into?"""
    found = entry.lstat()
    is_private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
    return entry.name.startswith(_WORKPLACE) and is_private and found.st_uid == os.geteuid()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other restores out of a directory, without leaving a lock file in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConflictError(
                "data-directory-in-use", f"Another restore is at work in {folder}. Wait until it has ended."
            ) from exc
        yield
    finally:
        os.close(descriptor)
