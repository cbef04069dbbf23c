"""A data directory made ready to serve: database, key-encryption key, shared PKI, names, and nothing half-signed.

Everything here may be repeated and raced: the first start, a start after a crash, and an operator's command beside a
running server all go through `prepared`. What is there already is only read, so a command does not queue behind the
registrations of a busy server.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from ownroot.config import KekToken
from ownroot.errors import ConflictError, KeyStoreError, UnavailableError
from ownroot.keystore.kek import Kek, load_kek, load_or_make_kek
from ownroot.keystore.kek_on_token import TokenOfKek, kek_from_token
from ownroot.keystore.sealing import Sealer
from ownroot.pki.encoding import spki_sha256
from ownroot.services.backend_keys import Keyring
from ownroot.services.gateway_names import settle_base_name, stored_base_name
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import Factory, SealedKeyPurpose
from ownroot.services.recover_issuances import recover_issuances
from ownroot.services.shared_pki import ensure_shared_pki, ensure_shared_tls, factories_without_tls
from ownroot.services.steps import run_blocking
from ownroot.services.sweep_logins import sweep_logins
from ownroot.services.token_keys import CaToken, give_up_old_keys
from ownroot.services.tuf_publishing import ensure_repository, factories_without_repository, renew_expiring
from ownroot.storage import open_database

_log = structlog.get_logger("ownroot.api")
_TAGS_A_ROUND: Final = 100


@dataclass(frozen=True, slots=True)
class Installation:
    """An open, prepared data directory. Whoever prepared it closes the database.

    `backdate`: how long before its making a certificate begins.
    """

    database: Database
    keyring: Keyring
    sub_keys: Mapping[SealedKeyPurpose, bytes]
    base_name: str
    backdate: timedelta = timedelta()


@contextmanager
def prepared(  # noqa: PLR0913  (what an operator decides about a data directory)
    data_dir: Path,
    database_url: str,
    *,
    gateway_name: str | None,
    clock: Callable[[], datetime],
    kek_token: KekToken | None = None,
    backdate: timedelta = timedelta(),
) -> Iterator[Installation]:
    """Open a data directory, setting up what is missing, and close it again.

    Args:
        gateway_name: the base name the operator asks for; None keeps what is there.
        kek_token: where the key-encryption key comes from; None: from its file or the environment.
        backdate: how long before its making a certificate of the shared PKI begins.
    Raises:
        KeyStoreError: the key-encryption key is missing, open to others, or not the one of this database.
        ConflictError: `gateway-name-fixed`.
        UnavailableError: the directory or the database cannot be used.
    """
    make_data_dir(data_dir)
    with locked(data_dir / "setup.lock", wait=True):
        database = open_database(database_url)
        try:
            kek = find_kek(data_dir, kek_token, may_make=not database.read(_look_around).has_shared_pki)
            installation = _set_up(database, kek, gateway_name, clock(), backdate)
        except BaseException:
            database.close()
            raise
    try:
        yield installation
    finally:
        database.close()


def keyring_of(sub_keys: Mapping[SealedKeyPurpose, bytes], token: CaToken | None = None) -> Keyring:
    """Return a keyring that can do what these sub-keys allow, and make online CA keys on a token if there is one."""
    return Keyring({purpose: Sealer(key) for purpose, key in sub_keys.items()}, token)


def finish_what_a_crash_left(database: Database, *, alone: bool, clock: Callable[[], datetime]) -> int:
    """Void what was recorded and never signed, and give up keys nobody will ask for; returns how many were voided.

    Args:
        alone: no other process registers devices or makes keys on this database.
    """
    now = clock()

    def finish(uow: UnitOfWork) -> int:
        give_up_old_keys(uow, alone=alone, now=now)
        return recover_issuances(uow, alone=alone, now=now)

    return database.write(finish).result()


def drop_what_has_ended(database: Database, *, clock: Callable[[], datetime]) -> None:
    """Drop sessions, tokens and requests of devices that are over."""
    now = clock()
    database.write(lambda uow: sweep_logins(uow, now=now)).result()


def renew_tuf_documents(database: Database, keyring: Keyring, *, clock: Callable[[], datetime]) -> int:
    """Sign anew what devices could not use much longer; returns for how many tags.

    What a factory's keys cannot sign stays due, and is logged. It would be found first every time, so the rounds grow
    until they have room for others beside it.
    """
    total, limit = 0, _TAGS_A_ROUND
    while True:
        work = partial(renew_expiring, keyring=keyring, now=clock(), limit=limit)
        done = database.write(work).result()
        total += done.renewed
        if done.is_last:
            break
        limit = _TAGS_A_ROUND + done.left
    for factory_id, error in done.faults.items():
        _log.error("TUF documents are not renewed", factory=factory_id, code=error.code, detail=error.detail)
    return total


def make_data_dir(data_dir: Path) -> None:
    """Make the directory, readable by us alone, or use the one that is there.

    Raises:
        UnavailableError: `data-directory`.
        KeyStoreError: `data-directory-mode`: whoever may write there could put a database of their own in its place.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(data_dir.stat().st_mode)
    except OSError as exc:
        raise unusable(data_dir, exc) from exc
    if mode & 0o022:
        raise KeyStoreError(
            "data-directory-mode",
            f"Others on this machine may write to {data_dir} (mode {mode:04o}), and so replace the database and the "
            f"keys in it. If none of them has, run: chmod go-w {data_dir}",
        )


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process ends, however it ends.

    Raises:
        ConflictError: `data-directory-in-use`: somebody else holds it, and we are not to wait.
        UnavailableError: `data-directory`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise unusable(path.parent, exc) from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as exc:
            raise ConflictError(
                "data-directory-in-use",
                f"Another server runs on {path.parent}. Stop it first, or give this one its own directory (--data).",
            ) from exc
        yield
    finally:
        os.close(descriptor)


def _set_up(database: Database, kek: Kek, gateway_name: str | None, now: datetime, backdate: timedelta) -> Installation:
    found = database.read(_look_around)
    sub_keys = {purpose: kek.sub_key(purpose.value) for purpose in SealedKeyPurpose}
    keyring = keyring_of(sub_keys)
    if not found.has_shared_pki:
        run_blocking(ensure_shared_pki(keyring, now=now, backdate=backdate), database)
    _require_keys_open(database, keyring)
    base_name = found.base_name
    if base_name is None or gateway_name is not None:
        base_name = database.write(lambda uow: settle_base_name(uow, gateway_name)).result()
    for factory in found.faceless:
        run_blocking(ensure_shared_tls(factory, keyring, now=now, backdate=backdate), database)
    for factory in database.read(factories_without_repository):
        database.write(partial(ensure_repository, factory=factory, keyring=keyring, now=now)).result()
    return Installation(database, keyring, sub_keys, base_name, backdate)


def find_kek(data_dir: Path, token: KekToken | None, *, may_make: bool) -> Kek:
    """Find the key-encryption key; one is made only for a database that holds nothing sealed yet.

    Raises:
        KeyStoreError: as `load_kek` and `kek_from_token`.
    """
    if token is None:
        return (load_or_make_kek if may_make else load_kek)(data_dir, os.environ)
    place = TokenOfKek(
        module=token.module, token_label=token.token_label, key_label=token.key_label, pin_file=token.pin_file
    )
    return kek_from_token(place, os.environ, may_make=may_make)


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is already. `faceless`: factories without a certificate for their gateway name."""

    has_shared_pki: bool
    base_name: str | None
    faceless: tuple[Factory, ...]


def _look_around(uow: UnitOfWork) -> _Found:
    return _Found(uow.pki.load(None).is_taken_over, stored_base_name(uow), factories_without_tls(uow))


def _require_keys_open(database: Database, keyring: Keyring) -> None:
    """Find out at start, not at the first registration, that the key-encryption key is another database's."""
    root = database.read(lambda uow: uow.pki.load(None)).root
    sealed = None if root is None else database.read(lambda uow: uow.keys.find(spki_sha256(root.public_key())))
    if sealed is None:
        raise KeyStoreError("shared-pki-missing", "The key of the shared PKI is not in the database. Restore a backup.")
    keyring.open(sealed)


def unusable(data_dir: Path, exc: OSError) -> UnavailableError:
    """Return what to say of a directory that the system does not let us use."""
    return UnavailableError(
        "data-directory", f"The data directory {data_dir} cannot be used: {exc.strerror}.", retry_after=60
    )
