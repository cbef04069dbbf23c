"""Composition root: settings -> a wired server. Only the server's entry point imports this package.

This module is its front: it loads the server half of the product when something is done with it, so that a gateway
worker does not carry the API's libraries and an installation without a server can say so.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ownroot.bootstrap.report import ServeReport
from ownroot.config import Options, default_data_dir
from ownroot.errors import InvalidInputError

if TYPE_CHECKING:
    from ownroot.bootstrap.accounts_desk import AccountsDesk as AccountsDesk
    from ownroot.bootstrap.accounts_desk import SecretOrder as SecretOrder
    from ownroot.bootstrap.backup_manifest import BackupManifest as BackupManifest
    from ownroot.services.create_factory import CreatedFactory

__all__ = [
    "Options",
    "Place",
    "ServeReport",
    "back_up_server",
    "make_factory",
    "open_accounts",
    "restore_server",
    "run_server",
    "secret_order",
    "server_half",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Which server is meant. `data_dir` None: `$OWNROOT_DATA`, else the platform's place."""

    data_dir: Path | None = None
    settings_file: Path | None = None

    @property
    def directory(self) -> Path:
        """The data directory."""
        return self.data_dir or default_data_dir(os.environ)


def run_server(place: Place, options: Options, part: str | None, say: Callable[[ServeReport], None]) -> None:
    """Serve until SIGTERM or SIGINT; `part` None serves everything. `say` is called once, when all of it serves.

    Raises:
        OwnrootError: the server cannot start, and why.
    """
    with server_half():
        from ownroot.bootstrap.serve import Part, serve  # noqa: PLC0415
        from ownroot.config import load_settings  # noqa: PLC0415

    settings = load_settings(place.directory, place.settings_file, options)
    serve(settings, frozenset(Part) if part is None else frozenset({Part(part)}), say)


def make_factory(
    place: Place, name: str, options: Options, *, owner: str | None = None, default: bool = False
) -> "CreatedFactory":
    """Make a factory on the server's data, running or not. `options`: gateway name of the factory, database.

    Raises:
        OwnrootError: as `services.create_factory`, or the data directory cannot be used.
    """
    with server_half():
        from ownroot.bootstrap import commands  # noqa: PLC0415
        from ownroot.services.create_factory import FactoryOrder  # noqa: PLC0415

    order = FactoryOrder(name, owner, options.gateway_name, default)
    return commands.make_factory(place.directory, place.settings_file, options.database, order)


@contextmanager
def open_accounts(place: Place, options: Options) -> "Iterator[AccountsDesk]":
    """Open the accounts of a server, running or not. `options`: database.

    Raises:
        OwnrootError: the data directory cannot be used.
    """
    with server_half():
        from ownroot.bootstrap import commands  # noqa: PLC0415

    with commands.open_accounts(place.directory, place.settings_file, options.database) as desk:
        yield desk


def secret_order(factory: str, user: str | None, scopes: Sequence[str], days: int | None) -> "SecretOrder":
    """Say which token or client is wanted; see `bootstrap.accounts_desk.SecretOrder`."""
    with server_half():
        from ownroot.bootstrap.accounts_desk import SecretOrder  # noqa: PLC0415

    return SecretOrder(factory, user, tuple(scopes), days)


def back_up_server(place: Place, file: Path, options: Options) -> "BackupManifest":
    """Write a backup of the server's data, running or not. `options`: database.

    Raises:
        OwnrootError: as `bootstrap.backup.make_backup`.
    """
    with server_half():
        from ownroot.bootstrap.backup import make_backup  # noqa: PLC0415
        from ownroot.config import load_settings  # noqa: PLC0415

    return make_backup(load_settings(place.directory, place.settings_file, options), file)


def restore_server(place: Place, file: Path, options: Options) -> "BackupManifest":
    """Make a backup the data of a server that is not there yet. `options`: database.

    Raises:
        OwnrootError: as `bootstrap.restore.restore_backup`; nothing was changed.
    """
    with server_half():
        from ownroot.bootstrap.restore import restore_backup  # noqa: PLC0415
        from ownroot.config import load_settings  # noqa: PLC0415

    return restore_backup(load_settings(place.directory, place.settings_file, options), file)


@contextmanager
def server_half() -> Iterator[None]:
    """Import the server's libraries inside. Raises InvalidInputError `server-not-installed` where they are missing."""
    try:
        yield
    except ImportError as exc:
        raise InvalidInputError(
            "server-not-installed",
            f"This installation has no server: {exc.name} is missing. Install it with: pip install 'ownroot[server]'",
        ) from exc
