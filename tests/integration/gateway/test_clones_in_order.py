"""Signs of a copied key in an order of events that only a test can keep: one gateway, its clock turned by hand."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ownroot.clock import utc_now
from ownroot.errors import InvalidInputError, OwnrootError, RefusedError
from ownroot.fleet.clones import CloneSign
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.names import DeviceUuid
from ownroot.services.next_keys import announce_next_key
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import ChangeKind, ClonePolicy, Suspicion
from ownroot.storage import open_database
from tests.support.certificates import Pair, make_key
from tests.support.door import OUTAGE, Door
from tests.support.enrolling import public_pem
from tests.support.gateway_in_process import InProcess, Wire, in_process
from tests.support.gateway_world import OWNER_ID

HOME, AWAY, ELSEWHERE, NEXT_DOOR = "127.1.0.1", "127.2.0.1", "127.3.0.1", "127.1.9.9"


async def visit(gateway: InProcess, *wires: Wire) -> list[str]:
    """Let some time pass, ask on each connection, and let what was noted be written and heard of."""
    codes = []
    for wire in wires:
        gateway.wait(seconds=30)
        codes.append(await gateway.code(wire))
        await gateway.network_uses.flush()
        await gateway.watcher.poll()
    return codes


def sign(gateway: InProcess, uuid: str = "dev-1") -> CloneSign | None:
    device = gateway.world.stored(uuid)
    assert device is not None
    return None if device.suspicion is None else device.suspicion.sign


def audited(gateway: InProcess) -> list[str]:
    factory_id = gateway.world.acme.factory.id
    return [event.kind.value for event in gateway.world.database.read(lambda uow: uow.audit.list(factory_id))]


def returns(gateway: InProcess) -> int:
    factory_id = gateway.world.acme.factory.id
    return len(gateway.world.database.read(lambda uow: uow.clones.returns(factory_id, "dev-1")))


def stored_networks(gateway: InProcess) -> tuple[str | None, str | None]:
    device = gateway.world.stored("dev-1")
    assert device is not None
    return device.networks


def run(folder: Path, scenario: Callable[[InProcess], Coroutine[Any, Any, None]]) -> None:
    in_process(folder, scenario)


def set_policy(gateway: InProcess, *, quarantines: bool) -> None:
    policy = ClonePolicy(gateway.world.acme.factory.id, quarantines, OWNER_ID, utc_now())
    gateway.world.write(lambda uow: uow.clones.put_policy(policy))


async def meet(gateway: InProcess, first: str, second: str, identity: Pair | None = None) -> tuple[Wire, Wire]:
    """Two connections with one key, each used once, the second opened later."""
    identity = identity or gateway.world.device()
    old = gateway.connect(identity, first)
    assert await visit(gateway, old) == ["ok"]
    new = gateway.connect(identity, second)
    assert await visit(gateway, new) == ["ok"]
    return old, new


def test_a_key_used_from_two_networks_in_turn_puts_its_device_under_suspicion_once(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await meet(gateway, HOME, AWAY)
        await visit(gateway, old, new, old)
        assert sign(gateway) is None, "three returns are none too many"
        await visit(gateway, new)
        assert sign(gateway) is CloneSign.TWO_NETWORKS
        assert await visit(gateway, old, new, old, new) == ["ok"] * 4
        assert audited(gateway).count("device:clone-suspected") == 1
        assert "device:quarantined" not in audited(gateway)

    run(tmp_path, scenario)


def test_a_device_that_moves_from_network_to_network_is_under_no_suspicion(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        identity = gateway.world.device()
        for address in (HOME, AWAY) * 6:  # each time its old connection is left alone, as roaming leaves it
            assert await visit(gateway, gateway.connect(identity, address)) == ["ok"]
        assert sign(gateway) is None

    run(tmp_path, scenario)


def test_two_connections_from_one_network_are_no_sign(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await meet(gateway, HOME, NEXT_DOOR)
        assert await visit(gateway, *(old, new) * 6) == ["ok"] * 12
        assert sign(gateway) is None

    run(tmp_path, scenario)


def test_a_device_with_an_address_of_each_family_is_under_no_suspicion(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await meet(gateway, HOME, "2001:db8:7::1")
        assert await visit(gateway, *(old, new) * 6) == ["ok"] * 12
        assert sign(gateway) is None

    run(tmp_path, scenario)


def test_a_copy_in_another_ipv6_site_is_seen(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await meet(gateway, "2001:db8:7::1", "2001:db8:8::1")
        await visit(gateway, *(old, new) * 2)
        assert sign(gateway) is CloneSign.TWO_NETWORKS

    run(tmp_path, scenario)


def test_a_handover_that_goes_to_and_fro_for_seconds_is_one_return(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await meet(gateway, HOME, AWAY)
        gateway.wait(seconds=60)
        for wire in (old, new) * 6:
            assert await gateway.code(wire) == "ok"
            await gateway.network_uses.flush()
        assert sign(gateway) is None

    run(tmp_path, scenario)


def test_returns_that_are_far_apart_are_no_sign(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await meet(gateway, HOME, AWAY)
        for wire in (old, new) * 6:
            gateway.wait(minutes=4)
            await visit(gateway, wire)
        assert sign(gateway) is None

    run(tmp_path, scenario)


@contextlib.asynccontextmanager
async def another_worker(gateway: InProcess) -> AsyncIterator[InProcess]:
    """A gateway that shares nothing with the first but the database."""
    database = open_database(gateway.world.database_url)
    other = InProcess(gateway.world, database, grace_seconds=300, capacity=1000)
    await other.start()
    try:
        yield other
    finally:
        other.watcher.close()
        other.gateway.close()
        database.close()


async def visit_at(workers: tuple[InProcess, InProcess], number: int, wire: Wire) -> None:
    """One visit at one of two workers, and both hear of it."""
    for worker in workers:
        worker.wait(seconds=30)
    assert await workers[number].code(wire) == "ok"
    await workers[number].network_uses.flush()
    for worker in workers:
        await worker.watcher.poll()


def test_two_workers_put_together_what_each_sees_a_half_of(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        async with another_worker(gateway) as other:
            workers, identity = (gateway, other), gateway.world.device()
            old = gateway.connect(identity, HOME)
            await visit_at(workers, 0, old)
            new = other.connect(identity, AWAY)
            for number, wire in ((1, new), (0, old), (1, new), (0, old)):
                await visit_at(workers, number, wire)
            assert sign(gateway) is None, "three returns are none too many"
            await visit_at(workers, 1, new)
            assert sign(gateway) is CloneSign.TWO_NETWORKS
            await visit_at(workers, 0, old)
            assert audited(gateway).count("device:clone-suspected") == 1

    run(tmp_path, scenario)


def test_a_device_that_moves_between_two_workers_is_under_no_suspicion(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        async with another_worker(gateway) as other:
            workers, identity = (gateway, other), gateway.world.device()
            for number, address in ((0, HOME), (1, AWAY)) * 6:
                await visit_at(workers, number, workers[number].connect(identity, address))
            assert sign(gateway) is None

    run(tmp_path, scenario)


def test_a_copy_that_comes_at_the_very_same_moment_as_its_device_is_seen_too(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        async with another_worker(gateway) as other:
            workers, identity = (gateway, other), gateway.world.device()
            old, new = gateway.connect(identity, HOME), other.connect(identity, AWAY)
            for worker, wire in ((gateway, old), (other, new)):
                assert await worker.code(wire) == "ok"
            for worker in workers:
                await worker.network_uses.flush()
            for worker in workers:
                await worker.watcher.poll()
            for _ in range(4):
                await visit_at(workers, 0, old)
                await visit_at(workers, 1, new)
            assert sign(gateway) is CloneSign.TWO_NETWORKS

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (OUTAGE, 1),
        (InvalidInputError("value-not-storable", "Never."), 0),
    ],
)
def test_a_return_outlives_an_outage_of_the_store_but_not_a_fault_of_its_own(
    tmp_path: Path, fault: OwnrootError, kept: int
) -> None:
    doors: list[Door] = []

    def put_a_door(database: Database) -> Any:
        doors.append(Door(database))
        return doors[0]

    async def scenario(gateway: InProcess) -> None:
        old, _ = await meet(gateway, HOME, AWAY)
        doors[0].fault = fault
        assert await visit(gateway, old) == ["ok"]
        assert returns(gateway) == 0
        doors[0].fault = None
        await gateway.network_uses.flush()
        assert returns(gateway) == kept

    in_process(tmp_path, scenario, database=put_a_door)


def test_a_connection_that_waits_for_its_first_request_returns_from_nowhere(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        async with another_worker(gateway) as other:
            workers, identity = (gateway, other), gateway.world.device()
            for _ in range(6):
                waiting = gateway.connect(identity, HOME)
                await visit_at(workers, 1, other.connect(identity, AWAY))
                await visit_at(workers, 0, waiting)
            assert sign(gateway) is None

    run(tmp_path, scenario)


def test_by_policy_a_copied_device_is_cut_and_refused_until_it_is_released(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        set_policy(gateway, quarantines=True)
        identity = gateway.world.device()
        bystander = gateway.connect(gateway.world.device("dev-2"), HOME)
        old, new = await meet(gateway, HOME, AWAY, identity)
        await visit(gateway, bystander, old, new, old)
        assert (old.is_cut, new.is_cut) == (False, False)
        await visit(gateway, new)
        assert (old.is_cut, new.is_cut, bystander.is_cut) == (True, True, False)
        assert audited(gateway)[:2] == ["device:quarantined", "device:clone-suspected"]
        again = gateway.connect(identity, HOME)
        assert await visit(gateway, again, bystander) == ["device-quarantined", "ok"]
        release(gateway)
        await gateway.watcher.poll()
        assert await visit(gateway, gateway.connect(identity, HOME)) == ["ok"]
        assert sign(gateway) is None

    run(tmp_path, scenario)


def test_a_key_announced_at_a_worker_that_has_not_heard_of_the_quarantine_is_refused(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        assert await visit(gateway, gateway.connect(gateway.world.device())) == ["ok"]
        known = gateway.world.stored("dev-1")
        assert known is not None
        let_in, pem = known, public_pem(make_key())
        shut = Suspicion(CloneSign.OWNER, "stolen", gateway.now, quarantined_at=gateway.now)
        gateway.world.write(lambda uow: uow.clones.suspect(known.factory_id, "dev-1", shut))
        with pytest.raises(RefusedError) as refused:
            gateway.world.write(lambda uow: announce_next_key(uow, let_in, pem, now=gateway.now))
        assert refused.value.code == "device-quarantined"
        release(gateway)
        gateway.world.write(lambda uow: announce_next_key(uow, let_in, pem, now=gateway.now))

    run(tmp_path, scenario)


def test_after_its_release_signs_are_counted_anew(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await meet(gateway, HOME, AWAY)
        await visit(gateway, old, new, old, new)
        assert sign(gateway) is CloneSign.TWO_NETWORKS
        release(gateway)
        await gateway.watcher.poll()
        await visit(gateway, old, new, old, new)
        assert (sign(gateway), returns(gateway)) == (None, 3)
        await visit(gateway, old)
        assert audited(gateway).count("device:clone-suspected") == 2

    run(tmp_path, scenario)


def test_a_device_that_moved_while_it_was_under_suspicion_does_not_return_after_its_release(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        identity = gateway.world.device()
        old, new = await meet(gateway, HOME, AWAY, identity)
        await visit(gateway, old, new, old, new)
        moved = gateway.connect(identity, ELSEWHERE)
        await visit(gateway, moved)
        release(gateway)
        await gateway.watcher.poll()
        await visit(gateway, moved, moved)
        assert returns(gateway) == 0

    run(tmp_path, scenario)


def test_what_a_worker_noted_before_a_release_and_stores_after_it_counts_no_more(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        async with another_worker(gateway) as other:
            workers, identity = (gateway, other), gateway.world.device()
            old = gateway.connect(identity, HOME)
            await visit_at(workers, 0, old)
            new = other.connect(identity, AWAY)
            await visit_at(workers, 1, new)
            gateway.wait(seconds=30)
            assert await gateway.code(old) == "ok"  # a return that is not stored yet
            suspect(gateway)
            release(gateway)
            await gateway.network_uses.flush()
            assert (returns(gateway), stored_networks(gateway)) == (0, (None, None))
            for worker in workers:
                await worker.watcher.poll()
            await visit_at(workers, 0, old)
            assert (returns(gateway), stored_networks(gateway)) == (0, ("127.1.0.0/16", None))

    run(tmp_path, scenario)


def test_a_device_let_in_again_by_both_workers_does_not_return_from_its_own_network(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        async with another_worker(gateway) as other:
            workers, identity = (gateway, other), gateway.world.device()
            await visit_at(workers, 0, gateway.connect(identity, HOME))
            await visit_at(workers, 1, other.connect(identity, AWAY))
            suspect(gateway, quarantined=True)
            for worker in workers:
                await worker.watcher.poll()
            release(gateway)
            back = [worker.connect(identity, HOME) for worker in workers]
            for number in (0, 1, 0, 1):
                await visit_at(workers, number, back[number])
            assert (returns(gateway), stored_networks(gateway)) == (0, ("127.1.0.0/16", None))

    run(tmp_path, scenario)


def test_a_worker_that_hears_of_a_quarantine_and_of_its_end_at_once_accuses_nobody(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        async with another_worker(gateway) as other:
            identity = gateway.world.device()
            at_home = gateway.connect(identity, HOME)
            await visit(gateway, at_home)
            await visit(other, other.connect(identity, AWAY))
            suspect(gateway, quarantined=True)
            release(gateway)
            await gateway.watcher.poll()
            assert await visit(gateway, at_home) == ["ok"]
            assert (returns(gateway), stored_networks(gateway)) == (0, ("127.1.0.0/16", None))

    run(tmp_path, scenario)


def test_returns_of_a_key_do_not_accuse_the_one_that_replaces_it(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        first = gateway.world.device()
        old, new = await meet(gateway, HOME, AWAY, first)
        await visit(gateway, old, new)
        gateway.wait(seconds=30)
        assert await gateway.code(old) == "ok"  # the third return, not stored yet
        second = await promote(gateway)
        old, new = await meet(gateway, HOME, AWAY, second)
        await visit(gateway, old)
        assert (sign(gateway), returns(gateway)) == (None, 1)
        await visit(gateway, new, old, new)
        assert sign(gateway) is CloneSign.TWO_NETWORKS

    run(tmp_path, scenario)


def release(gateway: InProcess) -> None:
    """End the suspicion as the API does, but for the audit."""

    def work(uow: UnitOfWork) -> None:
        factory_id = gateway.world.acme.factory.id
        uow.clones.release(factory_id, "dev-1", at=gateway.now)
        uow.changes.announce(ChangeKind.DEVICE, factory_id, DeviceUuid("dev-1"))

    gateway.world.write(work)


def suspect(gateway: InProcess, *, quarantined: bool = False) -> None:
    """Put the device under suspicion as the API does, but for the audit."""
    since = gateway.now if quarantined else None
    suspicion = Suspicion(CloneSign.OWNER, "stolen", gateway.now, quarantined_at=since)

    def work(uow: UnitOfWork) -> None:
        factory_id = gateway.world.acme.factory.id
        uow.clones.suspect(factory_id, "dev-1", suspicion)
        uow.changes.announce(ChangeKind.DEVICE, factory_id, DeviceUuid("dev-1"))

    gateway.world.write(work)


async def renew(gateway: InProcess) -> tuple[Pair, Pair]:
    """A device announces a key and comes with it; returns the old identity and the new one."""
    old = gateway.world.device()
    assert await visit(gateway, gateway.connect(old)) == ["ok"]
    return old, await promote(gateway)


async def promote(gateway: InProcess) -> Pair:
    """A known device announces a key and comes with it; returns its new identity."""
    new = gateway.world.device()
    known = gateway.world.stored("dev-1")
    assert known is not None
    announced = dataclasses.replace(
        known, next_spki_sha256=spki_sha256(new.ec_key.public_key()), next_key_at=gateway.now
    )
    gateway.world.write(lambda uow: uow.devices.replace_key(announced))
    await use(gateway, new)
    return new


async def use(gateway: InProcess, identity: Pair) -> None:
    """The device comes with its present key, and that is stored."""
    assert await gateway.code(gateway.connect(identity)) == "ok"
    await gateway.check_ins.flush()


async def show(gateway: InProcess, old: Pair) -> None:
    """Somebody comes with the key that was replaced."""
    gateway.wait(minutes=5)
    assert await gateway.code(gateway.connect(old)) == "device-key-replaced"
    gateway.wait(minutes=5)


def test_an_old_key_that_comes_again_after_the_new_one_is_of_a_copy(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await renew(gateway)
        gateway.wait(hours=2)
        await show(gateway, old)
        await use(gateway, new)
        assert sign(gateway) is None
        for _ in range(3):
            await show(gateway, old)
            assert sign(gateway) is CloneSign.OLD_KEY
            await use(gateway, new)
        assert audited(gateway).count("device:clone-suspected") == 1

    run(tmp_path, scenario)


def test_a_device_that_lost_power_at_its_promotion_may_try_its_old_key_again(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await renew(gateway)
        gateway.wait(hours=2)
        for _ in range(3):
            await show(gateway, old)
        for _ in range(3):
            await use(gateway, new)
            gateway.wait(minutes=5)
        assert sign(gateway) is None

    run(tmp_path, scenario)


def test_programs_that_go_on_with_the_old_key_until_they_are_restarted_are_no_sign(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await renew(gateway)
        for _ in range(5):
            await show(gateway, old)
            await use(gateway, new)
        assert sign(gateway) is None

    run(tmp_path, scenario)


def test_a_release_settles_the_keys_replaced_before(tmp_path: Path) -> None:
    async def scenario(gateway: InProcess) -> None:
        old, new = await renew(gateway)
        gateway.wait(hours=2)
        await show(gateway, old)
        await use(gateway, new)
        await show(gateway, old)
        assert sign(gateway) is CloneSign.OLD_KEY
        release(gateway)
        for _ in range(3):
            await use(gateway, new)
            await show(gateway, old)
        assert sign(gateway) is None

    run(tmp_path, scenario)
