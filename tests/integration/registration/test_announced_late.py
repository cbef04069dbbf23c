"""Devices that call before their announcement gets through, as happens while the API cannot be reached from a site."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ownroot.clock import utc_now
from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair, device_certificate
from tests.support.enrolling import eventually
from tests.support.tls_device import Device
from tests.support.world import running_server

PATH = "/ota/devices/"


@dataclass(frozen=True, slots=True)
class Line:
    """A line with a local CA of a taken-over factory."""

    owner: ApiOwner
    ca: Pair

    def made(self, uuid: str) -> Pair:
        return device_certificate(self.ca, uuid, self.owner.server.factory, now=utc_now())

    def met(self, uuid: str) -> Pair:
        """Make a device and let it call; the gateway may hear of its CA a moment later."""
        device = self.made(uuid)
        eventually(lambda: Device(identity=device).get(self.owner.server.gateway_address).status == 200)
        return device

    def announce(self, device: Pair, **more: Any) -> tuple[int, str]:
        answer = self.owner.server.call("PUT", PATH, document={"client.pem": device.pem, **more})
        return answer.status_code, answer.json().get("code", "")

    def change(self, device: str, **change: str) -> None:
        answer = self.owner.server.call("PATCH", f"{PATH}{device}/?factory=acme", document=change)
        assert answer.status_code == 200, answer.text

    def stored(self, name: str) -> tuple[str, Any]:
        """Return a device's uuid and the name of its group."""
        answer = self.owner.server.call("GET", f"{PATH}?factory=acme&name={name}")
        assert answer.status_code == 200, answer.text
        (device,) = answer.json()["devices"]
        return device["uuid"], device["device-group"]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_server(tmp_path_factory.mktemp("late"), workers=1) as server:
        owner = ApiOwner(server)
        owner.take_over()
        made = server.call("POST", "/ota/factories/acme/device-groups/", document={"name": "pumps"})
        assert made.status_code == 201, made.text
        yield Line(owner, owner.add_local_ca())


def test_device_that_called_first_gets_its_name_and_group_when_it_is_announced(line: Line) -> None:
    device = line.met("late-1")
    assert line.stored("late-1") == ("late-1", None)
    assert line.announce(device, name="pump-1", group="pumps") == (200, "")
    assert line.stored("pump-1") == ("late-1", "pumps")


def test_what_the_owner_said_meanwhile_stays(line: Line) -> None:
    device = line.met("late-2")
    line.change("late-2", name="mine")
    assert line.announce(device, name="pump-2", group="pumps") == (200, "")
    assert line.stored("mine") == ("late-2", None)


def test_name_of_another_is_refused_and_nothing_is_said(line: Line) -> None:
    other, device = line.met("late-3"), line.met("late-4")
    assert line.announce(other, name="pump-3") == (200, "")
    assert line.announce(device, name="pump-3", group="pumps") == (409, "device-name-taken")
    assert line.announce(device, name="late-3", group="pumps") == (409, "device-name-taken")
    assert line.stored("late-4") == ("late-4", None)


def test_announcement_that_says_nothing_more_changes_nothing(line: Line) -> None:
    device = line.met("late-5")
    assert [line.announce(device) for _ in range(2)] == [(200, "")] * 2
    assert line.stored("late-5") == ("late-5", None)
