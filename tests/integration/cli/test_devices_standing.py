"""`ownroot devices rename|chown|list-denied|delete-denied|why` against a real server."""

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.cli.test_devices import UUIDS, fleet
from tests.support.certificates import device_ca, device_certificate, factory_root
from tests.support.owner import Owner
from tests.support.tls_device import Device
from tests.support.world import RunningServer

__all__ = ["fleet"]


@pytest.mark.usefixtures("fleet")
def test_rename_and_chown_change_what_a_device_is_called_and_whose_it_is(owner: Owner, server: RunningServer) -> None:
    renamed = owner.run("devices", "rename", "line-1", "oven-7")
    assert (renamed.code, renamed.out.split(":")[0]) == (0, f"Device {UUIDS[0]}")
    assert owner.run("devices", "show", "oven-7", "--json").json["uuid"] == UUIDS[0]
    assert owner.run("devices", "rename", "oven-7", "line-2").code == 7
    assert owner.run("devices", "rename", "oven-7", "../x").code != 0

    me = server.call("GET", f"/ota/factories/{server.factory}/users/self/").json()["polis-id"]
    assert owner.run("devices", "chown", "-u", UUIDS[0], me, "--json").json["owner"] == me
    assert owner.run("devices", "chown", "oven-7", "f" * 24).code != 0


@pytest.mark.usefixtures("fleet")
def test_deleted_devices_are_listed_and_let_in_again(owner: Owner) -> None:
    assert "0 of 0" in owner.run("devices", "list-denied").err
    owner.run("devices", "delete", "line-1", "line-2", "--yes")

    listed = owner.run("devices", "list-denied")
    assert [line.split()[0] for line in listed.out.splitlines()] == sorted(UUIDS)
    assert "-p 2" in owner.run("devices", "list-denied", "-n", "1").err
    lifted = owner.run("devices", "delete-denied", UUIDS[0], "--yes", "--json").json
    assert lifted["lifted"] == [UUIDS[0]]
    assert [device["uuid"] for device in owner.run("devices", "list-denied", "--json").json["devices"]] == [UUIDS[1]]
    assert owner.run("devices", "delete-denied", UUIDS[0], "--yes").code == 6


def test_why_says_what_the_gateway_refused_from_where_and_what_to_do(owner: Owner, server: RunningServer) -> None:
    uuid = "22222222-2222-4333-8444-000000000009"
    stranger = device_certificate(device_ca(factory_root(server.factory), factory=server.factory), uuid, server.factory)
    name = f"{server.factory}.{server.gateway_name}"
    for _ in range(2):
        assert Device(identity=stranger, server_name=name).get(server.gateway_address).status == 403

    document = until(lambda: owner.run("devices", "why", uuid, "--json").json, lambda it: bool(it["refusals"]))
    (reason,) = document["refusals"]
    assert (reason["code"], reason["count"], reason["peer"]) == ("device-ca-unknown", 2, "127.0.0.1")
    assert "add-device-ca" in reason["remedy"]
    shown = owner.run("devices", "why", uuid)
    assert "device-ca-unknown, 2 times since" in shown.out
    assert "What to do: No device CA of this factory signed its certificate." in shown.out
    assert f"No device of the factory has the uuid {uuid} now" in shown.err


def test_why_and_doctor_tell_of_devices_that_trust_another_root(owner: Owner, server: RunningServer) -> None:
    assert "devices-trust-another-root" not in owner.run("doctor").out
    other_root = ssl.create_default_context(cadata=factory_root("another").pem)
    other_root.check_hostname = False
    name = f"{server.factory}.{server.gateway_name}"
    with (
        socket.create_connection(server.gateway_address) as connection,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        other_root.wrap_socket(connection, server_hostname=name)
    document = until(lambda: owner.run("devices", "why", "anybody", "--json").json, lambda it: it["left-handshakes"])
    assert document["refusals"] == []
    assert document["left-handshakes"]["code"] == "device-trusts-another-root"
    assert "Of the whole factory: device-trusts-another-root, once" in owner.run("devices", "why", "anybody").out
    assert "devices-trust-another-root" in owner.run("doctor").out


def until(ask: Callable[[], Any], is_there: Callable[[Any], bool]) -> Any:
    """Refusals are written every two seconds."""
    deadline = time.monotonic() + 15
    while not is_there(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found


@pytest.mark.usefixtures("fleet")
def test_device_that_was_never_refused_has_no_reasons(owner: Owner) -> None:
    done = owner.run("devices", "why", "line-1")
    assert (done.code, done.out) == (0, "")
    assert UUIDS[0] in done.err
    assert owner.run("devices", "why", "line-1", "--json").json == {
        "uuid": UUIDS[0],
        "refusals": [],
        "left-handshakes": None,
        "suspicion": None,
    }


@pytest.mark.usefixtures("fleet")
def test_nothing_on_record_of_a_name_that_no_device_has_is_no_all_clear(owner: Owner) -> None:
    owner.run("devices", "delete", "line-1", "--yes")
    for name in ("lime-2", "line-1"):
        done = owner.run("devices", "why", name)
        assert f"No device of the factory has the name or uuid '{name}' now" in done.err
        assert "list-denied" in done.err
    assert "No device of" not in owner.run("devices", "why", "line-2").err
