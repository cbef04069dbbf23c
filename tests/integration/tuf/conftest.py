"""One server for the tests of a module, and a factory of its own for each."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.tuf_program import TufAdmin
from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), part="api", factory="acme") as running:
        yield running


@pytest.fixture(scope="module")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def owner(server: RunningServer, _numbers: Iterator[int]) -> TufAdmin:
    """The owner of a factory whose repository nobody has touched."""
    return TufAdmin(server.for_factory(f"fresh-{next(_numbers)}"))
