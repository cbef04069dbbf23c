"""A server loses its memory between a backup and its restore, and its devices come back: real programs and sockets."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ownroot.clock import utc_now
from tests.support.api_owner import DISABLE, ApiOwner, accept
from tests.support.certificates import Pair, device_certificate
from tests.support.owner import Owner
from tests.support.tls_device import Device
from tests.support.world import RunningServer, operate, running_server


@dataclass(frozen=True, slots=True)
class Fleet:
    """A server that came back, and devices that were made before its backup was, and since.

    Attributes:
        before: registered before the backup.
        online: registered since, at the server.
        local: made since, at a site of the owner's with this device CA.
    """

    server: RunningServer
    owner: ApiOwner
    person: Owner
    before: Pair
    online: tuple[Pair, ...]
    site: Pair
    local: Pair

    def visit(self, device: Pair) -> str:
        """Let a device call; returns `ok` or the code of the refusal."""
        reply = Device(identity=device).get(self.server.gateway_address)
        return "ok" if reply.status == 200 else reply.text.partition(":")[0]

    def ask(self, *words: str) -> Any:
        """Run a command of the owner's with `--json`."""
        return self.person.run("devices", *words, "--json").json


def make_fleet(server: RunningServer, home: Path, archive: Path | None) -> Fleet:
    owner = ApiOwner(server)
    owner.take_over()
    site = owner.add_local_ca()
    before = owner.register_pair("made-before")
    if archive is not None:
        server.run("backup", str(archive))
    online = tuple(owner.register_pair(f"online-{number}") for number in (1, 2))
    local = device_certificate(site, "local-1", server.factory, now=utc_now())
    return Fleet(server, owner, person_at(server, home), before, online, site, local)


def person_at(server: RunningServer, home: Path) -> Owner:
    return Owner(home).at(server.api_url, factory=server.factory, token=server.owner_token)


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Fleet]:
    """The server of a backup, and devices that were made before it and since."""
    archive, data = tmp_path / "backup.tar", tmp_path / "new" / "data"
    with running_server(tmp_path, workers=1) as server:
        fleet = make_fleet(server, tmp_path, archive)
    data.mkdir(mode=0o700, parents=True)
    shutil.copy2(server.data_dir / "kek", data / "kek")
    operate(data, "restore", str(archive))
    with running_server(data.parent, workers=1, factory=None) as again:
        fleet.owner.server = replace(again, factory=server.factory, owner_token=server.owner_token)
        yield replace(fleet, server=fleet.owner.server, person=person_at(fleet.owner.server, tmp_path))


def test_devices_made_since_wait_for_the_owner_and_those_made_before_go_on(restored: Fleet) -> None:
    assert restored.visit(restored.before) == "ok"
    for device in (*restored.online, restored.local):
        assert restored.visit(device) == "device-held-for-review"
    held = restored.ask("held")["held"]
    assert [one["uuid"] for one in held] == ["local-1", "online-1", "online-2"]
    assert not any(one["replaces-key"] for one in held)
    assert "ownroot_held_devices 3.0" in restored.server.call("GET", "/metrics", token=None).text

    assert restored.ask("accept", "online-1", "local-1")["not-done"] == []
    assert restored.ask("refuse", "online-2")["not-done"] == []
    assert [restored.visit(device) for device in (*restored.online, restored.local)] == ["ok", "device-denied", "ok"]
    assert restored.ask("held")["total"] == 0


def test_without_a_restore_the_same_devices_are_known_or_a_first_contact(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1) as server:
        fleet = make_fleet(server, tmp_path, None)
        for device in (fleet.before, *fleet.online, fleet.local):
            assert fleet.visit(device) == "ok"
        assert fleet.ask("held")["total"] == 0


def test_a_device_registered_again_after_the_restore_is_not_held(restored: Fleet) -> None:
    assert restored.visit(restored.online[0]) == "device-held-for-review"
    again = restored.owner.register_pair("online-1")
    assert restored.visit(again) == "ok"
    assert restored.ask("held")["total"] == 0
    assert restored.visit(restored.online[0]) == "device-held-for-review"
    assert [one["replaces-key"] for one in restored.ask("held")["held"]] == [True]


def test_a_device_of_a_ca_disabled_since_is_not_accepted(restored: Fleet) -> None:
    restored.visit(restored.local)
    accept(restored.owner.order(restored.site, reason=DISABLE))
    done = restored.person.run("devices", "accept", "local-1", "--json")
    assert done.code == 4
    assert restored.visit(restored.local) == "device-ca-disabled"


def test_announcing_a_held_device_lets_it_in(restored: Fleet) -> None:
    """A registration server that kept its queue vouches for what it signed."""
    assert restored.visit(restored.local) == "device-held-for-review"
    answer = restored.server.call("PUT", "/ota/devices/", document={"client.pem": restored.local.pem})
    assert answer.status_code == 201, answer.text
    assert restored.visit(restored.local) == "ok"
    assert restored.ask("held")["total"] == 0


def test_station_cannot_vouch_for_what_nobody_remembers(restored: Fleet) -> None:
    station = restored.server.create_token("devices:create", user="station")
    for device in (restored.local, restored.online[0]):
        answer = restored.server.call("PUT", "/ota/devices/", document={"client.pem": device.pem}, token=station)
        assert (answer.status_code, answer.json()["code"]) == (403, "device-held-for-review")
        assert restored.visit(device) == "device-held-for-review"
    assert restored.server.call("PUT", "/ota/devices/", document={"client.pem": restored.before.pem}).status_code == 200
