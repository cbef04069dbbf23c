"""One server for the tests of a module, each of which leaves only clients, users and devices of its own behind."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), part="api") as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> dict[str, Any]:
    """A client of the owner's: what existing command lines send for it."""
    made = server.run("client", "create", "-f", "acme", "--scope", "devices:read", "--scope", "users:read")
    return {"client_id": made["client-id"], "client_secret": made["client-secret"]}
