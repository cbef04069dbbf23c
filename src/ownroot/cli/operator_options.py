"""Options that the operator's commands share, and the server's accounts that they lead to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from ownroot.bootstrap import AccountsDesk, SecretOrder

Result = TypeVar("Result")

DATA_OPTION = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's data directory. [default: $OWNROOT_DATA, else the platform's place for it]",
)
CONFIG_OPTION = click.option(
    "--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="Settings, a TOML file."
)
DATABASE_OPTION = click.option(
    "--database", metavar="URL", help="Where the database is. [default: SQLite in the data directory]"
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, slots=True)
class ServerData:
    """Which server's data a command line names."""

    data: Path | None
    config_file: Path | None
    database: str | None

    @contextmanager
    def accounts(self) -> "Iterator[AccountsDesk]":
        """Open its accounts; the server may be running."""
        from ownroot.bootstrap import Options, Place, open_accounts

        with open_accounts(Place(self.data, self.config_file), Options(database=self.database)) as desk:
            yield desk


def order_of(factory: str, user: str | None, scopes: Sequence[str], days: int | None) -> "SecretOrder":
    """Say which token or client is wanted."""
    from ownroot.bootstrap import secret_order

    return secret_order(factory, user, scopes, days)


def server_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command `--data`, `--config`, `--database` and `--json`; it gets a `ServerData` called `server`."""

    @wraps(function)
    def command(*, data: Path | None, config_file: Path | None, database: str | None, **options: object) -> Result:
        return function(server=ServerData(data, config_file, database), **options)

    decorated: Callable[..., Result] = command
    for option in (JSON_OPTION, DATABASE_OPTION, CONFIG_OPTION, DATA_OPTION):
        decorated = option(decorated)
    return decorated
