"""A hundred devices that report at the same moment, on SQLite and on PostgreSQL, beside one that checks in."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ownroot.services.report_ports import DocumentKind
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.postgres import running_postgres
from tests.support.reporting import (
    COMMAND_ID,
    an_event,
    apps_states_of,
    device_tests_of,
    document_of,
    events_body,
    send,
    updates_of,
)
from tests.support.tls_device import Device, ask

DEVICES = 100
ARTIFACT = bytes(range(256)) * 256  # 64 KiB
HARDWARE = b'{"id":"board","children":[' + b",".join([b'{"id":"cpu","units":1}'] * 1000) + b"]}"

REPORTS = (
    ("POST", "/events", events_body(an_event(1), an_event(2))),
    ("PUT", "/system_info", HARDWARE),
    ("POST", "/apps-states", b'{"apps":{}}'),
    ("POST", "/tests", b'{"name":"n","test-id":"%s"}' % COMMAND_ID.encode()),
    ("PUT", f"/tests/{COMMAND_ID}", b'{"status":"PASSED","artifacts":["console.log"]}'),
    ("PUT", f"/tests/{COMMAND_ID}/console.log", ARTIFACT),
)


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    if request.param == "sqlite":
        with gateway_world(tmp_path_factory.mktemp("gateway"), workers=2) as running:
            yield running
    else:
        with running_postgres() as cluster, gateway_world(cluster.make_database(), workers=2) as running:
            yield running


def test_everything_is_stored_and_check_ins_go_on(world: GatewayWorld) -> None:
    busy = threading.Event()
    devices = [(f"dev-{number}", Device(identity=world.device(f"dev-{number}"))) for number in range(DEVICES)]
    with ThreadPoolExecutor(DEVICES + 1) as threads:
        visits = threads.submit(check_in_until, world, busy)
        reported = list(threads.map(lambda device: report(world, device[1]), devices))
        busy.set()
    assert visits.result() > DEVICES
    assert set(reported) == {(200, 200, 200, 201, 200, 200)}
    for uuid, _ in devices:
        assert [event["id"] for event in updates_of(world, uuid)["update-1"][1]] == ["event-1", "event-2"]
        assert document_of(world, uuid, DocumentKind.HARDWARE) == HARDWARE
        assert len(apps_states_of(world, uuid)) == 1
        assert device_tests_of(world, uuid)[COMMAND_ID][1] == {"console.log": len(ARTIFACT)}


def report(world: GatewayWorld, device: Device) -> tuple[int, ...]:
    """Send everything over one connection; after a 503, which ends it, again over another, as devices do."""
    statuses: list[int] = []
    while len(statuses) < len(REPORTS):
        with device.connect(world.address) as connection:
            for method, path, body in REPORTS[len(statuses) :]:
                status = send(connection, method, path, body).status
                if status == 503:
                    break
                statuses.append(status)
    return tuple(statuses)


def check_in_until(world: GatewayWorld, done: threading.Event) -> int:
    """Check in over one connection; returns how often."""
    visits = 0
    with Device(identity=world.device("visitor")).connect(world.address) as connection:
        while not done.is_set():
            assert ask(connection, Host="gw.example").status == 200
            visits += 1
    return visits
