"""One server for the tests of a module that do not disturb each other, and a factory of its own for each that does."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import pytest

from ownroot.audit.events import AuditEvent
from ownroot.services.ports import UnitOfWork
from ownroot.storage import open_database
from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), part="api", factory="acme") as running:
        yield running


@pytest.fixture(scope="module")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def fresh(server: RunningServer, _numbers: Iterator[int]) -> RunningServer:
    """The same server seen from a factory nobody has touched."""
    return server.for_factory(f"fresh-{next(_numbers)}")


@pytest.fixture
def audit_kinds() -> Callable[[RunningServer], list[str]]:
    """What the audit log of a factory holds, newest first."""

    def read(server: RunningServer) -> list[str]:
        database = open_database(f"sqlite:///{server.data_dir / 'ownroot.db'}")
        try:
            return [event.kind.value for event in database.read(lambda uow: _events(uow, server.factory))]
        finally:
            database.close()

    return read


def _events(uow: UnitOfWork, name: str) -> Sequence[AuditEvent]:
    factory = uow.factories.find(name)
    return uow.audit.list(None if factory is None else factory.id)
