"""One server with both parts, which all attacks share: none of them may harm the next."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("attacked"), factory="acme") as running:
        yield running


@pytest.fixture(scope="session")
def beta(server: RunningServer) -> RunningServer:
    """The same server as another factory's owner sees it."""
    return server.for_factory("beta")


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def fresh(server: RunningServer, _numbers: Iterator[int]) -> RunningServer:
    """A factory that nobody has touched."""
    return server.for_factory(f"fresh-{next(_numbers)}")
