"""The operator's acts on a data directory, whether a server runs on it or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ownroot.bootstrap.accounts_desk import AccountsDesk
from ownroot.bootstrap.hardening import forbid_core_dumps
from ownroot.bootstrap.installation import Installation, prepared
from ownroot.clock import utc_now
from ownroot.config import Options, load_settings
from ownroot.services.create_factory import CreatedFactory, FactoryOrder, create_factory
from ownroot.services.steps import run_blocking


def make_factory(data_dir: Path, file: Path | None, database: str | None, order: FactoryOrder) -> CreatedFactory:
    """Make a factory; running gateways learn of it within a moment."""
    with _opened(data_dir, file, database) as installation:
        steps = create_factory(order, installation.keyring, now=utc_now(), backdate=installation.backdate)
        return run_blocking(steps, installation.database)


@contextmanager
def open_accounts(data_dir: Path, file: Path | None, database: str | None) -> Iterator[AccountsDesk]:
    """Open the accounts of a server."""
    with _opened(data_dir, file, database) as installation:
        yield AccountsDesk(installation, utc_now)


@contextmanager
def _opened(data_dir: Path, file: Path | None, database: str | None) -> Iterator[Installation]:
    forbid_core_dumps()
    settings = load_settings(data_dir, file, Options(database=database))
    with prepared(
        settings.data_dir,
        settings.database_url,
        gateway_name=settings.gateway.name,
        clock=utc_now,
        kek_token=settings.kek_token,
        backdate=settings.certificates.backdate,
    ) as installation:
        yield installation
