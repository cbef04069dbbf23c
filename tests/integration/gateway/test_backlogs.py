"""What waits to be written while the store is away, or while more is noted than there is room for."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from ownroot.fleet.networks import Family, Network
from ownroot.gateway import backlog
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, NetworkUse
from tests.support.door import OUTAGE, Door
from tests.support.gateway_in_process import InProcess, Wire, in_process

HOME, AWAY, THIRD = "127.1.0.1", "127.2.0.1", "127.3.0.1"

Scenario = Callable[[InProcess, Door], Coroutine[Any, Any, None]]


def run(folder: Path, scenario: Scenario) -> None:
    """Run a scenario with a door before the database."""
    doors: list[Door] = []

    def put_a_door(database: Any) -> Any:
        doors.append(Door(database))
        return doors[0]

    in_process(folder, lambda gateway: scenario(gateway, doors[0]), database=put_a_door)


async def visit(gateway: InProcess, wire: Wire) -> None:
    gateway.wait(seconds=30)
    assert await gateway.code(wire) == "ok"


def returns(gateway: InProcess, uuid: str = "dev-1") -> int:
    factory_id = gateway.world.acme.factory.id
    return len(gateway.world.database.read(lambda uow: uow.clones.returns(factory_id, uuid)))


async def begin_flush(recorder: backlog.Backlog[Any, Any], door: Door) -> "asyncio.Task[None]":
    """Let a write begin that ends when the test says so."""
    door.held = Future()
    task = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0)
    return task


async def end_in_an_outage(task: "asyncio.Task[None]", door: Door) -> None:
    """Let the write that was begun find the store away; later ones find it back."""
    held, door.held = door.held, None
    assert held is not None
    held.set_exception(OUTAGE)
    await task


def announce(gateway: InProcess, uuid: str, work: Callable[[UnitOfWork], None] = lambda _: None) -> None:
    """Let something else change of a device, so that gateways look at it."""

    def change(uow: UnitOfWork) -> None:
        work(uow)
        uow.changes.announce(ChangeKind.DEVICE, gateway.world.acme.factory.id, DeviceUuid(uuid))

    gateway.world.write(change)


def use_elsewhere(gateway: InProcess, uuid: str) -> None:
    """Let another gateway process see the device's key."""
    device = gateway.world.stored(uuid)
    assert device is not None
    network = Network(Family.IPV4, "127.9.0.0/16")
    use = NetworkUse(device.factory_id, device.uuid, device.spki_sha256, network, None, returned=False, at=gateway.now)
    announce(gateway, uuid, lambda uow: uow.clones.note_use(use, ()))


def test_a_return_outlives_a_move_during_an_outage(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess, door: Door) -> None:
        identity = gateway.world.device()
        old = gateway.connect(identity, HOME)
        for wire in (old, gateway.connect(identity, AWAY), old):
            await visit(gateway, wire)
        writing = await begin_flush(gateway.network_uses, door)
        await visit(gateway, gateway.connect(identity, THIRD))
        await end_in_an_outage(writing, door)
        await gateway.network_uses.flush()
        device = gateway.world.stored("dev-1")
        assert device is not None
        assert (device.networks[Family.IPV4], returns(gateway)) == ("127.3.0.0/16", 1)

    run(tmp_path, scenario)


def test_moves_during_an_outage_are_no_returns(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess, door: Door) -> None:
        identity = gateway.world.device()
        for address in (HOME, AWAY):
            await visit(gateway, gateway.connect(identity, address))
        writing = await begin_flush(gateway.network_uses, door)
        await visit(gateway, gateway.connect(identity, THIRD))
        await end_in_an_outage(writing, door)
        await gateway.network_uses.flush()
        assert returns(gateway) == 0

    run(tmp_path, scenario)


def test_a_network_of_one_family_outlives_a_use_from_the_other(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess, _: Door) -> None:
        identity = gateway.world.device()
        for address in (HOME, "2001:db8:7::1"):
            await visit(gateway, gateway.connect(identity, address))
        await gateway.network_uses.flush()
        device = gateway.world.stored("dev-1")
        assert device is not None
        assert device.networks == ("127.1.0.0/16", "2001:db8:7::/48")

    run(tmp_path, scenario)


def test_a_change_of_networks_without_room_is_counted_and_its_device_not_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: InProcess, _: Door) -> None:
        identity = gateway.world.device()
        await visit(gateway, gateway.connect(identity, HOME))
        await gateway.network_uses.flush()
        monkeypatch.setattr(backlog, "MAX_PENDING", 1)
        await visit(gateway, gateway.connect(gateway.world.device("dev-2"), HOME))
        moved = gateway.connect(identity, AWAY)
        await visit(gateway, moved)
        assert gateway.network_uses.dropped == 1
        await gateway.network_uses.flush()
        announce(gateway, "dev-1")
        await gateway.watcher.poll()  # what is stored is older than what we saw
        await visit(gateway, moved)
        await gateway.network_uses.flush()
        assert (returns(gateway), gateway.network_uses.recorded) == (0, 2)

    run(tmp_path, scenario)


def test_what_was_noted_first_keeps_its_room_in_an_outage_and_the_rest_goes_on_hearing_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: InProcess, door: Door) -> None:
        first = gateway.connect(gateway.world.device(), HOME)
        second = gateway.connect(gateway.world.device("dev-2"), HOME)
        monkeypatch.setattr(backlog, "MAX_PENDING", 1)
        await visit(gateway, first)
        writing = await begin_flush(gateway.network_uses, door)
        door.held, held = None, door.held  # a first contact is written at once
        await visit(gateway, second)
        door.held = held
        await end_in_an_outage(writing, door)
        assert (gateway.network_uses.recorded, gateway.network_uses.dropped) == (0, 1)
        await gateway.network_uses.flush()
        assert gateway.network_uses.recorded == 1
        use_elsewhere(gateway, "dev-2")
        await gateway.watcher.poll()
        await visit(gateway, second)
        await gateway.network_uses.flush()
        assert returns(gateway, "dev-2") == 1

    run(tmp_path, scenario)


def test_a_write_that_is_cut_off_is_made_up_for(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess, door: Door) -> None:
        wire = gateway.connect(gateway.world.device())
        await visit(gateway, wire)
        await gateway.check_ins.flush()
        await gateway.ask(wire, x_ats_tags="parting")
        writing = await begin_flush(gateway.check_ins, door)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        door.held = None
        await gateway.check_ins.flush()
        device = gateway.world.stored("dev-1")
        assert device is not None
        assert device.tags == "parting"

    run(tmp_path, scenario)
