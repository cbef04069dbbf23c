"""The rows of gateway.md §4.2, §5 and §6 for events, system information and apps, over real connections."""

import json
import os
import signal
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ownroot.services.report_ports import DocumentKind, UpdateState
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.reporting import (
    COMMAND_ID,
    an_event,
    apps_states_of,
    document_of,
    events_body,
    request_bytes,
    send,
    send_as,
    updates_of,
)
from tests.support.tls_device import Device

NETWORK_JSON = b'{"hostname":"h","mac":"00:11:22:33:44:55","local_ipv4":"192.0.2.2/24"}'
TOML = b'[tls]\nserver = "https://gw.example:8443"\n[pacman]\nnumber = 7\n'
BOMB = b"[" * 50_000 + b"]" * 50_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path_factory.mktemp("gateway")) as running:
        yield running


# Method, path, body, content type, status: what §5.1 says is exactly accepted.
ACCEPTED = [
    ("POST", "/events", events_body(an_event()), "application/json", 200),
    ("POST", "/events", b"[]", "application/json", 200),
    ("PUT", "/system_info", b'{"id":"board","children":[]}', "application/json", 200),
    ("PUT", "/system_info", b'[{"id":"board"}]', "", 200),
    ("PUT", "/system_info/network", NETWORK_JSON, "application/json", 200),
    ("PUT", "/system_info/config", TOML, "application/json", 200),
    ("PUT", "/system_info/config", TOML, "application/toml", 200),
    ("PUT", "/system_info/config", b"", "text/html", 200),
    ("POST", "/apps-states", b'{"deviceTime":"x","ostree":"ab","apps":{}}', "application/json", 200),
]


@pytest.mark.parametrize(("method", "path", "body", "content_type", "status"), ACCEPTED)
def test_report_is_answered_with_the_one_status_its_senders_take(
    world: GatewayWorld,
    request: pytest.FixtureRequest,
    method: str,
    path: str,
    body: bytes,
    content_type: str,
    status: int,
) -> None:
    uuid = f"accepted-{ACCEPTED.index((method, path, body, content_type, status))}"
    reply = send_as(world, uuid, method, path, body, Content_Type=content_type)
    assert (reply.status, reply.body) == (status, b"")


# Each differs in one detail from an accepted row.
REFUSED = [
    ("POST", "/events", b'{"id":"no array"}', 400, "events-not-an-array"),
    ("POST", "/events", b"[", 400, "events-not-an-array"),
    ("POST", "/events", b"", 400, "events-not-an-array"),
    ("POST", "/events", BOMB, 400, "events-not-an-array"),
    ("PUT", "/events", b"[]", 405, ""),
    ("PUT", "/system_info", b"lshw: not found", 400, "report-unreadable"),
    ("PUT", "/system_info", BOMB, 400, "report-unreadable"),
    ("PUT", "/system_info", b"[" * 65 + b"]" * 65, 400, "report-unreadable"),
    ("PUT", "/system_info/network", b"[]", 400, "report-not-an-object"),
    ("PUT", "/system_info/config", b"\xff\xfe", 400, "settings-not-text"),
    ("POST", "/system_info/config", TOML, 405, ""),
    ("PUT", "/system_info/", b"{}", 404, ""),
    ("PUT", "/system_info/../system_info", b"{}", 404, ""),
    ("PUT", "/system%5finfo", b"{}", 404, ""),
    ("POST", "/apps-states", b'"apps"', 400, "report-not-an-object"),
    ("POST", "/apps-states", b'{"a":' * 70 + b"1" + b"}" * 70, 400, "report-unreadable"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
def test_what_is_no_report_is_refused_and_stores_nothing(
    world: GatewayWorld, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    uuid = f"refused-{REFUSED.index((method, path, body, status, code))}"
    with connected(world, uuid) as connection:
        reply = send(connection, method, path, body)
    assert reply.status == status
    assert not code or reply.text.partition(":")[0] == code
    assert [document_of(world, uuid, kind) for kind in DocumentKind] == [None, None, None]
    assert (updates_of(world, uuid), apps_states_of(world, uuid)) == ({}, [])


@contextmanager
def connected(world: GatewayWorld, uuid: str) -> Iterator[ssl.SSLSocket]:
    """Connect as a new device that the gateway has seen once."""
    with Device(identity=world.device(uuid)).connect(world.address) as connection:
        # Clients of the field say JSON on a GET that has no body (gateway.md §4.2).
        assert send(connection, "GET", "/device").status == 200
        yield connection


LIMITS = [
    ("POST", "/events", 1024 * 1024),
    ("PUT", "/system_info", 256 * 1024),
    ("PUT", "/system_info/network", 100 * 1024),
    ("PUT", "/system_info/config", 100 * 1024),
    ("POST", "/apps-states", 100 * 1024),
    ("POST", "/tests", 100 * 1024),
    ("PUT", f"/tests/{COMMAND_ID}", 100 * 1024),
    ("PUT", f"/tests/{COMMAND_ID}/console.log", 1024 * 1024),
]


@pytest.mark.parametrize(("method", "path", "most"), LIMITS)
def test_longer_body_than_the_path_takes_is_refused_before_it_comes(
    world: GatewayWorld, method: str, path: str, most: int
) -> None:
    with connected(world, f"long{path.replace('/', '-')}") as connection:
        # The longest is waited for, as `100 Continue` shows, one byte more is refused at once.
        connection.sendall(request_bytes(method, path, Expect="100-continue", Content_Length=str(most)))
        assert connection.recv(64) == b"HTTP/1.1 100 Continue\r\n\r\n"
    with Device(identity=world.device(f"longer{path.replace('/', '-')}")).connect(world.address) as connection:
        assert send(connection, "GET", "/device").status == 200
        assert send(connection, method, path, Content_Length=str(most + 1)).status == 413


# Events that are none, each beside one that is: gateway.md §6.6 and §5.2.
ODD_EVENTS = [
    None,
    1,
    "event",
    [],
    {},
    an_event(id=""),
    an_event(id="x" * 65),
    an_event(id="with blank"),
    an_event(id=7),
    an_event(correlationId="../../etc"),
    an_event(correlationId="a/b"),
    an_event(correlationId=""),
    an_event(correlationId="x" * 129),
    an_event(success="yes"),
    an_event(version=7),
    an_event(kind=""),
    {"id": "no-type", "event": {"correlationId": "update-1"}},
]


@pytest.mark.parametrize("odd", ODD_EVENTS)
def test_event_that_is_none_is_left_out_and_the_others_are_kept(world: GatewayWorld, odd: object) -> None:
    uuid = f"odd-{ODD_EVENTS.index(odd)}"
    with connected(world, uuid) as connection:
        assert send(connection, "POST", "/events", events_body(odd, an_event(2))).status == 200
    stored = updates_of(world, uuid)
    assert list(stored) == ["update-1"]
    assert [event["id"] for event in stored["update-1"][1]] == ["event-2"]


SHAPES = [
    ("success true", an_event(success=True), True),
    ("success null", an_event(success=None), None),
    ("success absent", {**an_event(), "event": {"correlationId": "update-1"}}, None),
    ("type version of fioup", {**an_event(), "eventType": {"id": "UpdateInitStarted", "version": 2}}, None),
]


@pytest.mark.parametrize(("name", "event", "success"), SHAPES)
def test_event_shapes_of_the_clients_are_kept(world: GatewayWorld, name: str, event: object, success: object) -> None:
    uuid = name.replace(" ", "-")
    with connected(world, uuid) as connection:
        assert send(connection, "POST", "/events", events_body(event)).status == 200
    (stored,) = updates_of(world, uuid)["update-1"][1]
    assert stored["event"]["success"] is success


def test_repeated_events_change_nothing(world: GatewayWorld) -> None:
    queue = events_body(an_event(1), an_event(2, "EcuInstallationCompleted", success=True), an_event(1))
    with connected(world, "repeats") as connection:
        assert send(connection, "POST", "/events", queue).status == 200
        before = updates_of(world, "repeats")
        assert [event["id"] for event in before["update-1"][1]] == ["event-1", "event-2"]
        assert before["update-1"][0].state is UpdateState.COMPLETED
        assert send(connection, "POST", "/events", queue).status == 200
        assert updates_of(world, "repeats") == before


def test_last_twenty_groups_and_fifty_events_of_each_are_kept(world: GatewayWorld) -> None:
    groups = events_body(*(an_event(number, correlationId=f"c-{number}") for number in range(25)))
    long = events_body(*(an_event(number, correlationId="long") for number in range(100, 170)))
    with connected(world, "talkative") as connection:
        assert send(connection, "POST", "/events", groups).status == 200
        for _ in range(2):
            assert send(connection, "POST", "/events", long).status == 200
    stored = updates_of(world, "talkative")
    assert list(stored) == ["long", *(f"c-{number}" for number in range(24, 5, -1))]
    assert [event["id"] for event in stored["long"][1]] == [f"event-{number}" for number in range(120, 170)]


def test_long_details_are_cut_at_the_limit_of_the_page(world: GatewayWorld) -> None:
    with connected(world, "wordy") as connection:
        body = events_body(an_event(details="\u00e9" * 2000 + "\0", targetName="t\0" * 300))
        assert send(connection, "POST", "/events", body).status == 200
    update, (event,) = updates_of(world, "wordy")["update-1"]
    assert event["event"]["details"] == "\u00e9" * 1024
    assert update.target_name == "t" * 256


def test_last_document_replaces_the_one_before(world: GatewayWorld) -> None:
    with connected(world, "changes") as connection:
        for body in (b'{"n":1}', b'{"n":1}', b'{"n":2}'):
            assert send(connection, "PUT", "/system_info", body).status == 200
            assert send(connection, "PUT", "/system_info/network", NETWORK_JSON).status == 200
            assert send(connection, "PUT", "/system_info/config", TOML).status == 200
    assert document_of(world, "changes", DocumentKind.HARDWARE) == b'{"n":2}'
    assert document_of(world, "changes", DocumentKind.NETWORK) == NETWORK_JSON
    assert document_of(world, "changes", DocumentKind.SETTINGS) == TOML


def test_last_ten_apps_states_are_kept_and_a_repeated_one_is_not_another(world: GatewayWorld) -> None:
    with connected(world, "apps") as connection:
        for number in range(12):
            for _ in range(2):
                assert send(connection, "POST", "/apps-states", b'{"apps":{},"n":%d}' % number).status == 200
    stored = [json.loads(body)["n"] for body in apps_states_of(world, "apps")]
    assert stored == list(range(11, 1, -1))


def test_answered_report_survives_a_kill(tmp_path: Path) -> None:
    with gateway_world(tmp_path) as own:
        with connected(own, "durable") as connection:
            assert send(connection, "POST", "/events", events_body(an_event())).status == 200
            os.kill(own.reports[0].pid, signal.SIGKILL)
        assert list(updates_of(own, "durable")) == ["update-1"]
        own.processes[0].join(10)
        own.processes.clear()


def test_deleted_device_reports_nothing_more(world: GatewayWorld) -> None:
    device = Device(identity=world.device("deleted"))
    with device.connect(world.address) as connection:
        assert send(connection, "POST", "/events", events_body(an_event())).status == 200
    world.delete("deleted")
    with device.connect(world.address) as connection:
        assert send(connection, "POST", "/events", events_body(an_event())).status == 403
    assert world.stored("deleted") is None


def test_reports_go_with_their_device(world: GatewayWorld) -> None:
    with connected(world, "leaves") as connection:
        send(connection, "POST", "/events", events_body(an_event()))
        send(connection, "PUT", "/system_info", b"{}")
        send(connection, "POST", "/apps-states", b"{}")
        assert send(connection, "POST", "/tests", b'{"name":"n","test-id":"%s"}' % COMMAND_ID.encode()).status == 201
    assert count_rows(world) > 0
    for device in world.database.read(lambda uow: uow.devices.pins(world.acme.factory.id, after="", limit=1000)):
        world.delete(device.uuid)
    assert count_rows(world) == 0


def count_rows(world: GatewayWorld) -> int:
    with sqlite3.connect(world.database_url) as connection:
        tables = ("device_documents", "device_apps_states", "device_updates", "device_events", "device_tests")
        return sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)  # noqa: S608
