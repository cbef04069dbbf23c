"""A worker process as a whole: check-ins reach the store, answers outlive a crash, stopping is orderly."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.services.records import Device as StoredDevice
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.repository import ROOT
from tests.support.tls_device import Device, ask


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def told(device: StoredDevice | None) -> tuple[str | None, ...]:
    assert device is not None
    return device.tags, device.target_name, device.ostree_hash, device.docker_apps


def test_check_in_headers_replace_when_present_and_keep_when_absent(world: GatewayWorld) -> None:
    with Device(identity=world.device("visits")).connect(world.address) as connection:
        ask(connection, x_ats_tags="main", x_ats_target="intel-7", x_ats_ostreehash="ab" * 32, x_ats_dockerapps="a,b")
        world.await_(lambda: told(world.stored("visits")) == ("main", "intel-7", "ab" * 32, "a,b"))
        ask(connection, x_ats_dockerapps="")
        world.await_(lambda: told(world.stored("visits")) == ("main", "intel-7", "ab" * 32, ""))
        assert '"tag":"main"' in ask(connection).text


def test_every_authenticated_request_is_a_check_in(world: GatewayWorld) -> None:
    with Device(identity=world.device("wanders")).connect(world.address) as connection:
        assert ask(connection, "/no/such/path", x_ats_tags="main").status == 404
    world.await_(lambda: told(world.stored("wanders"))[0] == "main")


def test_refused_device_checks_in_nothing(world: GatewayWorld) -> None:
    device = world.device("imitated")
    assert Device(identity=device).get(world.address, x_ats_tags="honest").status == 200
    world.await_(lambda: told(world.stored("imitated"))[0] == "honest")
    clone = world.device("imitated")
    assert Device(identity=clone).get(world.address, x_ats_tags="evil").status == 403
    assert Device(identity=device).get(world.address, x_ats_target="t").status == 200
    world.await_(lambda: told(world.stored("imitated"))[:2] == ("honest", "t"))


def test_metrics_count_what_happened(world: GatewayWorld) -> None:
    assert Device().get(world.address).status == 403
    status, text = world.admin("/metrics")
    assert status == 200
    assert 'ownroot_gateway_refusals_total{code="client-certificate-missing"}' in text
    assert "ownroot_gateway_handshakes_total" in text
    assert all(f"ownroot_gateway_{kind}_dropped_total 0.0" in text for kind in ("check_ins", "network_uses"))
    named = set(re.findall(r"`(ownroot_gateway_\w+)`", (ROOT / "docs" / "operating.md").read_text()))
    assert named
    assert [name for name in named if f"\n{name} " not in text] == []
    assert world.admin("/else")[0] == 404


def test_worker_may_open_as_many_files_as_the_system_allows(world: GatewayWorld) -> None:
    limits = Path(f"/proc/{world.reports[0].pid}/limits").read_text()
    soft, hard = next(line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files"))
    assert soft == hard


def test_stopping_writes_the_last_check_ins(tmp_path: Path) -> None:
    with gateway_world(tmp_path) as world:
        with Device(identity=world.device("last")).connect(world.address) as connection:
            assert ask(connection, x_ats_tags="parting").status == 200
            os.kill(world.reports[0].pid, signal.SIGTERM)
            world.processes[0].join(10)
            assert connection.recv(1) == b""
        assert told(world.stored("last"))[0] == "parting"


def test_answered_first_contact_survives_a_kill(tmp_path: Path) -> None:
    with gateway_world(tmp_path) as world:
        assert Device(identity=world.device("durable")).get(world.address).status == 200
        os.kill(world.reports[0].pid, signal.SIGKILL)
        assert world.stored("durable") is not None
        world.processes[0].join(10)
        world.processes.clear()


def test_two_workers_create_a_racing_device_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with gateway_world(tmp_path, workers=2) as world, ThreadPoolExecutor(8) as pool:
        device = Device(identity=world.device("racer"))
        statuses = list(pool.map(lambda _: device.get(world.address).status, range(16)))
        assert statuses == [200] * 16
        assert world.database.read(lambda uow: uow.devices.count(world.acme.factory.id)) == 1


def test_first_contact_is_audited_and_announced(world: GatewayWorld) -> None:
    before = world.database.read(lambda uow: uow.changes.generation())
    assert Device(identity=world.device("audited")).get(world.address).status == 200
    events = world.database.read(lambda uow: uow.audit.list(world.acme.factory.id))
    assert [(event.kind.value, event.actor) for event in events if event.subject == "audited"] == [
        ("device:first-seen", "device:audited")
    ]
    changes = world.database.read(lambda uow: uow.changes.since(before))
    assert changes is not None
    assert [change.uuid for change in changes] == ["audited"]
