"""A copied key over real sockets: two connections from two loopback networks, at a server with two workers."""

import contextlib
import os
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair
from tests.support.enrolling import Enrolling, audited, code_of, eventually
from tests.support.tls_device import Device, ask, is_closed_by_peer
from tests.support.world import RunningServer, running_server

HOME, NEXT_DOOR, AWAY = "127.1.0.1", "127.1.200.1", "127.2.0.1"
PATIENCE_SECONDS = 120.0
CLONES = "/ota/factories/acme/clones/"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("clones"), workers=2) as server:
        yield ApiOwner(server)


def set_policy(server: RunningServer, policy: str) -> None:
    assert server.call("PUT", CLONES, document={"on-suspicion": policy}).status_code == 200


def suspicion(server: RunningServer, uuid: str) -> Any:
    return server.call("GET", f"/ota/devices/{uuid}/?factory=acme&by-uuid=1").json()["suspicion"]


def quarantine(server: RunningServer, uuid: str, method: str = "PUT") -> int:
    return server.call(method, f"/ota/devices/{uuid}/quarantine/?factory=acme&by-uuid=1").status_code


def connect(stack: contextlib.ExitStack, server: RunningServer, identity: Pair, source: str) -> ssl.SSLSocket:
    """Open a connection and use it once; which worker gets it is the kernel's choice."""
    connection = stack.enter_context(Device(identity=identity, source=source).connect(server.gateway_address))
    assert ask(connection).status == 200
    return connection


def visit(connection: ssl.SSLSocket) -> bool:
    """Ask once; answers whether the gateway still lets this connection go on."""
    try:
        return ask(connection).status == 200
    except (OSError, ValueError):
        return False


def pester(stack: contextlib.ExitStack, server: RunningServer, identities: dict[str, Pair]) -> list[ssl.SSLSocket]:
    """Use the key of `copied` from two networks in turn until that is noticed; returns the two connections.

    Beside it `neighbours` has two connections from one network, and `roams` another connection and network each time.
    """
    pair = [connect(stack, server, identities["copied"], place) for place in (HOME, AWAY)]
    beside = [connect(stack, server, identities["neighbours"], place) for place in (HOME, NEXT_DOOR)]
    end, times = time.monotonic() + PATIENCE_SECONDS, 0
    while suspicion(server, "copied") is None:
        assert time.monotonic() < end, "nothing was noticed"
        visit(pair[times % 2])
        assert visit(beside[times % 2])
        roaming = Device(identity=identities["roams"], source=(HOME, AWAY)[times % 2])
        assert roaming.get(server.gateway_address).status == 200
        times += 1
        time.sleep(0.5)
    return pair


def test_a_key_in_two_networks_is_noticed_and_by_policy_cut_and_refused(owner: ApiOwner) -> None:
    server = owner.server
    set_policy(server, "quarantine")
    identities = {uuid: owner.register_pair(uuid) for uuid in ("copied", "neighbours", "roams")}
    with contextlib.ExitStack() as stack:
        pair = pester(stack, server, identities)
        assert all(is_closed_by_peer(connection) for connection in pair)

    found = suspicion(server, "copied")
    assert (found["sign"], found["quarantined-at"] is None) == ("two-networks", False)
    assert all(network in found["detail"] for network in ("127.1.0.0/16", "127.2.0.0/16"))
    assert [suspicion(server, uuid) for uuid in ("neighbours", "roams")] == [None, None]
    again = Enrolling(server.gateway_address, identities["copied"])
    eventually(lambda: code_of(again.get()) == (403, "device-quarantined"))
    kinds = [(event["kind"], event["subject"]) for event in audited(server)]
    assert kinds.count(("device:clone-suspected", "copied")) == 1
    assert kinds.count(("device:quarantined", "copied")) == 1

    assert quarantine(server, "copied", "DELETE") == 200
    eventually(lambda: again.get().status == 200)
    assert suspicion(server, "copied") is None
    set_policy(server, "tell")


def test_a_quarantine_by_hand_cuts_what_is_open_on_every_worker_and_nothing_else(owner: ApiOwner) -> None:
    server = owner.server
    identity, other = owner.register_pair("by-hand"), owner.register_pair("bystander")
    with contextlib.ExitStack() as stack:
        # Sixteen connections miss one of two workers once in 32,768 times; the test passes then as well.
        every = [connect(stack, server, identity, HOME) for _ in range(16)]
        spared = connect(stack, server, other, HOME)
        assert quarantine(server, "by-hand") == 200
        assert all(is_closed_by_peer(connection) for connection in every)
        assert visit(spared)
    assert code_of(Enrolling(server.gateway_address, identity).get()) == (403, "device-quarantined")


def test_a_device_in_quarantine_renews_nothing_and_announces_nothing(owner: ApiOwner) -> None:
    server = owner.server
    device = Enrolling(server.gateway_address, owner.register_pair("wants-out"))
    assert device.get().status == 200
    assert device.announce().status == 200
    assert quarantine(server, "wants-out") == 200
    eventually(lambda: code_of(device.get()) == (403, "device-quarantined"))
    assert code_of(device.enrol()) == (403, "device-quarantined")
    assert code_of(device.announce()) == (403, "device-quarantined")


def test_a_quarantine_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        owner = ApiOwner(server)
        shut, free = owner.register_pair("shut-out"), owner.register_pair("goes-on")
        assert quarantine(server, "shut-out") == 200
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with running_server(tmp_path, workers=2, factory=None) as server:
        assert code_of(Enrolling(server.gateway_address, shut).get()) == (403, "device-quarantined")
        assert Enrolling(server.gateway_address, free).get().status == 200


@pytest.mark.parametrize("scope", ["devices:read", "devices:read-update"])
def test_whoever_is_not_owner_or_admin_neither_quarantines_nor_releases(owner: ApiOwner, scope: str) -> None:
    server = owner.server
    owner.register_pair(f"not-theirs-{scope[8:]}")
    path = f"/ota/devices/not-theirs-{scope[8:]}/quarantine/?factory=acme&by-uuid=1"
    token = server.create_token(scope, user=f"worker-{scope[8:]}")
    for method in ("PUT", "DELETE"):
        assert server.call(method, path, token=token).status_code == 403
    assert server.call("PUT", CLONES, token=token, document={"on-suspicion": "tell"}).status_code == 403
    assert server.call("PUT", path).status_code == 200


@pytest.mark.parametrize("document", [{}, {"on-suspicion": "shoot"}, {"on-suspicion": None}, []])
def test_a_policy_is_one_of_two_words(owner: ApiOwner, document: object) -> None:
    assert owner.server.call("PUT", CLONES, document=document).status_code == 400


def test_what_is_under_no_suspicion_cannot_be_released(owner: ApiOwner) -> None:
    owner.register_pair("innocent")
    answer = owner.server.call("DELETE", "/ota/devices/innocent/quarantine/?factory=acme")
    assert (answer.status_code, answer.json()["code"]) == (404, "suspicion-none")
    long = owner.server.call("PUT", "/ota/devices/innocent/quarantine/?factory=acme", document={"reason": "x" * 201})
    assert (long.status_code, long.json()["code"]) == (400, "reason-invalid")
