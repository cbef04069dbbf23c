"""One whole server for all tests of a device's program."""

from collections.abc import Iterator

import pytest

from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("world"), workers=1) as running:
        yield running


@pytest.fixture(scope="package")
def line_token(server: RunningServer) -> str:
    return server.create_token("devices:create")
