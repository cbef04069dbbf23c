"""Several processes on one database: races, turns, and death at any moment."""

import contextlib
import itertools
import random
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from ownroot.audit.log import verify_log
from ownroot.errors import UnavailableError
from ownroot.services.ports import Database
from ownroot.services.records import ChangeKind, Factory
from ownroot.storage import StorageOptions, open_database
from tests.support import storage_processes as processes
from tests.support.postgres import PostgresCluster
from tests.support.storage_processes import SPAWN, running
from tests.support.stored_values import a_device, make_factory

PATIENCE_SECONDS = 60


def receive(connection: Connection) -> Any:
    assert connection.poll(PATIENCE_SECONDS), "the other process says nothing"
    return connection.recv()


@contextlib.contextmanager
def several(count: int, body: Any, *arguments: Any, together: bool = False) -> Iterator[list[Connection]]:
    """Run a body in several processes; yields where each one answers."""
    barrier = (SPAWN.Barrier(count),) if together else ()
    with contextlib.ExitStack() as stack:
        answers = []
        for _ in range(count):
            ours, theirs = SPAWN.Pipe(duplex=False)
            stack.enter_context(running(body, *arguments, *barrier, theirs))
            answers.append(ours)
        yield answers


@pytest.fixture(params=["sqlite", "postgres"])
def empty_address(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """A database without our schema."""
    if request.param == "sqlite":
        return str(tmp_path / "empty.db")
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.make_database()


def test_processes_that_start_at_once_migrate_once(empty_address: str) -> None:
    with several(4, processes.open_together, empty_address, together=True) as answers:
        assert [receive(answer) for answer in answers] == [0, 0, 0, 0]


def test_each_uuid_has_exactly_one_winner(address: str, database: Database, factory: Factory) -> None:
    with several(2, processes.race_for_uuids, address, factory, 60, together=True) as answers:
        first, second = (receive(answer) for answer in answers)
    assert sorted(first + second) == sorted(f"dev-{number}" for number in range(60))
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 60


@pytest.mark.parametrize("seed", range(3))
def test_nothing_answered_is_lost_when_the_writer_is_killed(
    address: str, database: Database, factory: Factory, seed: int
) -> None:
    ours, theirs = SPAWN.Pipe(duplex=False)
    with running(processes.register_for_ever, address, factory, theirs) as process:
        theirs.close()
        answered = [receive(ours)]
        time.sleep(random.Random(seed).uniform(0, 0.4))
        process.kill()
        with contextlib.suppress(EOFError):
            while True:
                answered.append(ours.recv())

    found = {uuid for uuid in answered if database.read(lambda uow, u=uuid: uow.devices.find(factory.id, u))}
    assert found == set(answered)
    database.read(lambda uow: verify_log(uow.audit.bodies(), uow.audit.head()))
    database.write(lambda uow: uow.devices.add(a_device(factory, "after-the-crash"))).result()


def test_database_opened_twice_in_a_process_stays_in_use(address: str, database: Database, factory: Factory) -> None:
    open_database(address).close()
    with several(1, processes.announce_once, address, factory) as (answer,):
        generation = receive(answer)
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    later = open_database(address)
    assert later.read(lambda uow: (uow.devices.count(factory.id), uow.changes.generation())) == (1, generation)
    later.close()


def test_writers_of_two_processes_make_one_chain(address: str, database: Database, factory: Factory) -> None:
    start = database.read(lambda uow: uow.changes.generation())
    with several(2, processes.append_many, address, factory, 50) as answers:
        generations = [receive(answer) for answer in answers]
    assert all(given == sorted(given) for given in generations)
    assert sorted(itertools.chain.from_iterable(generations)) == list(range(start + 1, start + 101))
    database.read(lambda uow: verify_log(uow.audit.bodies(), uow.audit.head()))


def test_busy_process_does_not_starve_another(address: str, database: Database, factory: Factory) -> None:
    with several(1, processes.write_back_to_back, address, factory) as (started,):
        receive(started)
        for number in range(10):
            database.write(lambda uow, n=number: uow.devices.add(a_device(factory, f"dev-{n}"))).result(5)


def test_commit_of_another_process_is_noticed(address: str, database: Database, factory: Factory) -> None:
    assert database.has_foreign_changes()
    while database.has_foreign_changes():
        pass
    with several(1, processes.announce_once, address, factory) as (answer,):
        generation = receive(answer)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not database.has_foreign_changes():
            assert time.monotonic() < deadline
    assert database.read(lambda uow: uow.changes.trust_generation()) == generation
    assert database.read(lambda uow: uow.changes.since(generation - 1))


def test_change_is_visible_by_the_time_it_is_noticed(address: str, database: Database, factory: Factory) -> None:
    other = open_database(address)
    while other.has_foreign_changes():
        pass
    for _ in range(20):
        generation = database.write(lambda uow: uow.changes.announce(ChangeKind.TRUST, factory.id)).result()
        while not other.has_foreign_changes():
            pass
        assert other.read(lambda uow: uow.changes.trust_generation()) == generation
    other.close()


def test_process_that_hangs_in_a_transaction_makes_writing_unavailable(address: str) -> None:
    database = open_database(address, options=StorageOptions(busy_timeout_seconds=1))
    factory = make_factory(database)
    with several(1, processes.hold_a_transaction, address) as (entered,):
        receive(entered)
        with pytest.raises(UnavailableError) as refused:
            database.write(lambda uow: uow.devices.add(a_device(factory))).result(30)
        assert refused.value.code == "database-unavailable"
        assert refused.value.retry_after > 0
        assert database.read(lambda uow: uow.devices.count(factory.id)) == 0
    database.write(lambda uow: uow.devices.add(a_device(factory))).result(30)
    database.close()
