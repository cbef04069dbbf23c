"""How long a decision holds, and what happens when the world moves while one is being made."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from ownroot.clock import utc_now
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import Database, UnitOfWork
from ownroot.trust.state import Standing
from tests.support.certificates import device_ca
from tests.support.gateway_in_process import InProcess, in_process
from tests.support.gateway_world import local_ca
from tests.support.stored_values import a_device


def test_decision_ends_with_the_certificate_on_an_open_connection(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        wire = run.connect(run.world.device(not_after=utc_now() + timedelta(seconds=60)))
        assert await run.code(wire) == "ok"
        run.wait(seconds=59)
        assert await run.code(wire) == "ok"
        run.wait(seconds=10)
        assert await run.code(wire) == "device-expired"

    in_process(tmp_path, scenario)


def test_decision_ends_with_the_ca_although_the_certificate_goes_on(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        ca = device_ca(run.world.acme.root, now=utc_now(), not_after=utc_now() + timedelta(seconds=60))
        run.world.change_pki(run.world.acme, device_cas=(local_ca(ca),))
        await run.watcher.poll()
        wire = run.connect(run.world.device(ca=ca))
        assert await run.code(wire) == "ok"
        run.wait(seconds=61)
        assert await run.code(wire) == "device-ca-out-of-date"

    in_process(tmp_path, scenario)


def test_connection_that_straddles_a_change_of_trust_is_judged_by_the_new_one(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        device = run.world.device()
        before = run.connect(device)
        run.world.change_pki(run.world.acme, device_cas=())
        await run.watcher.poll()
        assert before.is_cut
        assert await run.code(run.connect(device)) == "device-ca-unknown"

    in_process(tmp_path, scenario)


def test_device_deleted_while_it_was_being_looked_up_does_not_slip_in(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        device = run.world.device()
        assert await run.code(run.connect(device)) == "ok"
        loop = asyncio.get_running_loop()

        def delete() -> None:
            run.world.delete("dev-1")
            asyncio.run_coroutine_threadsafe(run.watcher.poll(), loop).result(10)

        # Forget the device, so that the next request looks it up, and let it be deleted right behind that look.
        run.memory.follow((run.world.acme.factory.id, DeviceUuid("dev-1")), None)
        interrupted[0].then = delete
        assert await run.code(run.connect(device)) == "device-denied"

    interrupted: list[Interrupted] = []

    def wrap(database: Database) -> Database:
        interrupted.append(Interrupted(database))
        return interrupted[0]

    in_process(tmp_path, scenario, database=wrap)


class Interrupted:
    """A database after whose next look-up something may happen, once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.then: Callable[[], None] | None = None

    def read(self, work: Callable[[UnitOfWork], Any]) -> Any:
        result = self._database.read(work)
        then, self.then = self.then, None
        if then is not None:
            then()
        return result

    def write(self, work: Callable[[UnitOfWork], Any]) -> "Future[Any]":
        return self._database.write(work)

    def submit(self, work: Callable[[UnitOfWork], Any], inbox: Any, ticket: object) -> None:
        self._database.submit(work, inbox, ticket)

    def has_foreign_changes(self) -> bool:
        return self._database.has_foreign_changes()

    def close(self) -> None:
        self._database.close()


def test_memory_of_decisions_is_bounded_and_forgetting_costs_only_a_look_up(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        devices = [run.world.device(f"dev-{number}") for number in range(5)]
        for device in devices:
            wire = run.connect(device)
            assert await run.code(wire) == "ok"
            assert wire.session is not None
            run.gateway.disconnected(wire.session)
        assert len(run.memory) == 3
        assert await run.code(run.connect(devices[0])) == "ok"

    in_process(tmp_path, scenario, capacity=3)


def test_forgotten_decision_leaves_the_open_connection_under_watch(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        wires = [run.connect(run.world.device(f"dev-{number}")) for number in range(3)]
        assert [await run.code(wire) for wire in wires] == ["ok"] * 3
        run.world.delete("dev-0")
        await run.watcher.poll()
        assert [wire.is_cut for wire in wires] == [True, False, False]

    in_process(tmp_path, scenario, capacity=1)


def test_refusals_of_strangers_are_capped_and_still_counted(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        stranger_ca = device_ca(run.world.acme.root, "no CA of ours", now=utc_now())
        key = run.world.device().key
        for number in range(1005):
            stranger = run.world.device(f"stranger-{number}", ca=stranger_ca, key=key)
            assert await run.code(run.connect(stranger)) == "device-ca-unknown"
        await run.refusals.flush()
        stored = run.world.database.read(lambda uow: uow.refusals.list(run.world.acme.factory.id, limit=2000))
        assert len(stored) <= 1001
        assert run.refusals.totals == {"device-ca-unknown": 1005}

    in_process(tmp_path, scenario)


def test_same_visit_is_written_once_a_minute_and_a_new_value_at_once(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        async def written(**headers: str) -> int:
            before = run.check_ins.recorded
            assert (await run.ask(wire, **headers)).status == 200
            await run.check_ins.flush()
            return run.check_ins.recorded - before

        wire = run.connect(run.world.device())
        assert await written(x_ats_tags="main") == 1
        run.wait(seconds=30)
        assert await written(x_ats_tags="main") == 0
        assert await written(x_ats_tags="next") == 1
        run.wait(seconds=59)
        assert await written() == 0
        run.wait(seconds=1)
        assert await written() == 1
        stored = run.world.stored("dev-1")
        assert stored is not None
        assert (stored.tags, stored.last_seen) == ("next", run.now)

    in_process(tmp_path, scenario)


def test_unrelated_commits_reload_nothing(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        wire = run.connect(run.world.device())
        assert await run.code(wire) == "ok"
        await run.watcher.poll()
        picture = run.snapshot.picture
        run.world.write(lambda uow: uow.facts.put_once("unrelated", "x"))
        await run.watcher.poll()
        assert run.snapshot.picture is picture
        run.world.set_standing(run.world.acme, Standing.DISABLED)
        await run.watcher.poll()
        assert run.snapshot.picture is not picture

    in_process(tmp_path, scenario)


def test_device_without_request_is_cut_when_its_ca_goes(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        silent, bare = run.connect(run.world.device()), run.connect(None)
        run.world.change_pki(run.world.acme, device_cas=())
        await run.watcher.poll()
        assert (silent.is_cut, bare.is_cut) == (True, False)

    in_process(tmp_path, scenario)


def test_same_key_under_another_ca_is_the_same_device_and_the_new_ca_vouches_for_it(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        old = run.world.device()
        assert await run.code(run.connect(old)) == "ok"
        second = device_ca(run.world.acme.root, now=utc_now())
        run.world.change_pki(run.world.acme, device_cas=(*run.world.acme.pki.device_cas, local_ca(second)))
        await run.watcher.poll()
        renewed = run.connect(run.world.device(ca=second, key=old.key))
        assert await run.code(renewed) == "ok"
        stored = run.world.stored("dev-1")
        assert stored is not None
        assert stored.issuer_serial == second.certificate.serial_number
        run.world.change_pki(run.world.acme, device_cas=(local_ca(second),))
        await run.watcher.poll()
        assert not renewed.is_cut
        assert await run.code(renewed) == "ok"

    in_process(tmp_path, scenario)


def test_new_device_whose_name_is_taken_gets_another_name_and_gets_in(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        factory = run.world.acme.factory
        run.world.write(lambda uow: uow.devices.add(a_device(factory, "someone-else", name="dev-1")))
        assert await run.code(run.connect(run.world.device())) == "ok"
        stored = run.world.stored("dev-1")
        assert stored is not None
        assert stored.name == f"dev-1-{stored.spki_sha256.hex()[:12]}"

    in_process(tmp_path, scenario)


def test_check_ins_wait_while_the_database_is_locked(tmp_path: Path) -> None:
    async def scenario(run: InProcess) -> None:
        wire = run.connect(run.world.device())
        assert (await run.ask(wire, x_ats_tags="main")).status == 200
        with locked(tmp_path / "gateway.db"):
            await run.check_ins.flush()
        assert run.check_ins.recorded == 0
        await run.check_ins.flush()
        stored = run.world.stored("dev-1")
        assert stored is not None
        assert stored.tags == "main"

    in_process(tmp_path, scenario)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
