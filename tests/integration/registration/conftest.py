"""One server for the tests of this folder that leave nothing of theirs behind but devices of their own."""

from collections.abc import Iterator

import pytest

from tests.support.registration_server import RegistrationServer, registration_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrationServer]:
    with registration_server(tmp_path_factory.mktemp("registration")) as running:
        yield running
