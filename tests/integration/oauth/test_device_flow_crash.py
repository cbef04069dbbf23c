"""The device flow on a server that is killed between its steps: what was said yes to stays so, and once."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.device_csrs import device_csr, new_key
from tests.support.device_flow import AskingDevice, ask, settle
from tests.support.registration_server import RegistrationServer, registration_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrationServer]:
    with registration_server(tmp_path_factory.mktemp("crash")) as running:
        yield running


def after_a_crash(server: RegistrationServer, device: AskingDevice) -> AskingDevice:
    """Kill the server, start it again, and return the device as it finds it."""
    known = device.server
    server.kill()
    server.restart()
    return replace(device, server=replace(known, api_url=server.world.api_url, process=server.world.process))


def test_every_step_outlives_a_crash_and_none_is_done_twice(server: RegistrationServer) -> None:
    device = after_a_crash(server, ask(server.world))
    assert device.poll().refusal == (400, "authorization_pending", "authorization-pending")
    settle(device, allow=True)
    device = after_a_crash(server, device)
    token, csr = device.token(), device_csr(device.uuid, key=new_key())
    device = after_a_crash(server, device)
    assert device.poll().refusal == (400, "invalid_grant", "authorization-used")
    status, files = device.register(token, csr)
    assert status == 201
    device = after_a_crash(server, device)
    assert device.register(token, csr)[1]["client.pem"] == files["client.pem"]
    assert device.register(token)[1]["code"] == "token-spent"
