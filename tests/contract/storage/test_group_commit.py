"""Writing: one transaction for many, an error undoes its own work alone, nothing answered before the commit."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from ownroot.audit.log import verify_log
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, UnavailableError
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import Database, Outcome, UnitOfWork
from ownroot.services.records import ChangeKind, Factory
from ownroot.storage import open_database
from tests.support.stored_values import a_device, an_event, make_factory


class Collector:
    """An inbox that remembers each delivery."""

    def __init__(self) -> None:
        self.deliveries: list[list[Outcome]] = []
        self.arrived = threading.Event()
        self.expected = 0

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        self.deliveries.append(list(outcomes))
        if sum(map(len, self.deliveries)) >= self.expected:
            self.arrived.set()


def write_together(database: Database, works: Sequence[Callable[[UnitOfWork], Any]]) -> list[Future[Any]]:
    """Make these works members of one transaction: they queue while the writer is held in an earlier one."""
    entered, let_go = threading.Event(), threading.Event()

    def hold(uow: UnitOfWork) -> None:
        entered.set()
        assert let_go.wait(10)

    held = database.write(hold)
    assert entered.wait(10)
    futures = [database.write(work) for work in works]
    let_go.set()
    held.result(10)
    return futures


def code_of(future: "Future[Any]") -> str | None:
    error = future.exception(10)
    assert error is None or isinstance(error, OwnrootError)
    return None if error is None else error.code


def test_conflict_fails_its_own_member_only(database: Database, factory: Factory) -> None:
    works = [lambda uow, uuid=uuid: uow.devices.add(a_device(factory, uuid)) for uuid in ("a", "b", "a", "c")]
    futures = write_together(database, works)
    assert [code_of(future) for future in futures] == [None, None, "device-uuid-taken", None]
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 3


def test_everything_a_failed_member_wrote_is_undone(database: Database, factory: Factory) -> None:
    def fail_late(uow: UnitOfWork) -> None:
        uow.devices.add(a_device(factory, "undone"))
        uow.audit.append(an_event(factory, "undone"))
        uow.audit.list(factory.id)  # writes what waits, of the other members too
        uow.changes.announce(ChangeKind.DEVICE, factory.id)
        raise ConflictError("changed-its-mind", "no")

    def succeed(uow: UnitOfWork, subject: str) -> None:
        uow.audit.append(an_event(factory, subject))

    works = [lambda uow: succeed(uow, "before"), fail_late, lambda uow: succeed(uow, "after")]
    futures = write_together(database, works)
    assert [code_of(future) for future in futures] == [None, "changed-its-mind", None]
    assert database.read(lambda uow: uow.devices.find(factory.id, "undone")) is None
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 0
    assert [event.subject for event in database.read(lambda uow: uow.audit.list(factory.id))] == ["after", "before"]
    assert database.read(lambda uow: uow.changes.since(0)) == []


def test_works_beside_a_failed_one_count_once(database: Database, factory: Factory) -> None:
    def register(uow: UnitOfWork, uuid: str) -> None:
        uow.devices.add(a_device(factory, uuid))
        uow.audit.append(an_event(factory, uuid))
        uow.changes.announce(ChangeKind.DEVICE, factory.id, DeviceUuid(uuid))

    before = database.read(lambda uow: uow.audit.head())
    futures = write_together(database, [partial(register, uuid=uuid) for uuid in ("a", "b", "a", "c")])
    assert [code_of(future) for future in futures] == [None, None, "device-uuid-taken", None]
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 3
    assert [event.subject for event in database.read(lambda uow: uow.audit.list(factory.id))] == ["c", "b", "a"]
    assert [change.uuid for change in database.read(lambda uow: uow.changes.since(0)) or ()] == ["a", "b", "c"]
    head = database.read(lambda uow: uow.audit.head())
    assert head.size == before.size + 3
    verify_log(database.read(lambda uow: list(uow.audit.bodies())), head)


def test_a_work_is_called_twice_at_most_and_its_last_result_counts(database: Database, factory: Factory) -> None:
    calls: Counter[str] = Counter()

    def work(uow: UnitOfWork, name: str) -> int:
        calls[name] += 1
        if name.startswith("bad"):
            raise ConflictError("changed-its-mind", "no")
        return calls[name]

    first, *_, last = write_together(
        database, [partial(work, name=name) for name in ("good", "bad-1", "fine", "bad-2", "end")]
    )
    assert (first.result(10), last.result(10)) == (2, 1)
    assert calls == {"good": 2, "bad-1": 2, "fine": 1, "bad-2": 1, "end": 1}


def test_works_that_all_succeed_are_called_once(database: Database, factory: Factory) -> None:
    calls: Counter[str] = Counter()

    def work(uow: UnitOfWork, name: str) -> None:
        calls[name] += 1

    for future in write_together(database, [partial(work, name=name) for name in "abc"]):
        future.result(10)
    assert calls == {"a": 1, "b": 1, "c": 1}


def test_a_work_that_fails_only_the_first_time_has_succeeded(database: Database, factory: Factory) -> None:
    attempts = iter([ConflictError("not-yet", "no")])

    def work(uow: UnitOfWork) -> None:
        uow.devices.add(a_device(factory, "a"))
        for error in attempts:
            raise error

    assert code_of(database.write(work)) is None
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 1


def test_a_failed_change_of_trust_does_not_hold_the_others_up(database: Database, factory: Factory) -> None:
    def change_trust(uow: UnitOfWork) -> None:
        uow.changes.announce(ChangeKind.TRUST, factory.id)
        raise ConflictError("changed-its-mind", "no")

    before = database.read(lambda uow: uow.changes.trust_generation())
    works = [change_trust, lambda uow: uow.changes.trust_generation()]
    failed, seen = write_together(database, works)
    assert code_of(failed) == "changed-its-mind"
    assert seen.result(10) == before == database.read(lambda uow: uow.changes.trust_generation())


def test_works_of_one_transaction_see_each_other(database: Database, factory: Factory) -> None:
    works = [
        lambda uow: uow.devices.add(a_device(factory)),
        lambda uow: uow.devices.find(factory.id, "dev-1"),
        lambda uow: uow.devices.count(factory.id),
    ]
    _, found, count = write_together(database, works)
    assert found.result(10) == a_device(factory)
    assert count.result(10) == 1


def test_readers_see_nothing_before_the_commit(database: Database, factory: Factory) -> None:
    def look_from_outside(uow: UnitOfWork) -> object:
        uow.devices.add(a_device(factory))
        return database.read(lambda outside: outside.devices.find(factory.id, "dev-1"))

    assert database.write(look_from_outside).result(10) is None
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) is not None


def test_a_reader_sees_one_moment(database: Database, factory: Factory) -> None:
    def look_twice(uow: UnitOfWork) -> tuple[int, int]:
        before = uow.devices.count(factory.id)
        database.write(lambda other: other.devices.add(a_device(factory))).result(10)
        return before, uow.devices.count(factory.id)

    assert database.read(look_twice) == (0, 0)


def test_errors_a_work_raises_itself_pass_through(database: Database) -> None:
    def divide(uow: UnitOfWork) -> float:
        return 1 / 0

    assert isinstance(database.write(divide).exception(10), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        database.read(divide)


def test_a_work_may_go_on_after_a_conflict(database: Database, factory: Factory) -> None:
    def register(uow: UnitOfWork) -> str:
        uow.devices.add(a_device(factory, "a"))
        with pytest.raises(ConflictError):
            uow.devices.add(a_device(factory, "b", name="a"))
        uow.devices.add(a_device(factory, "c"))
        return "done"

    assert database.write(register).result(10) == "done"
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 2


def test_a_work_that_hides_a_fault_of_the_store_has_failed(database: Database, factory: Factory) -> None:
    def hide(uow: UnitOfWork) -> str:
        uow.devices.add(a_device(factory, "a"))
        with pytest.raises(InvalidInputError):
            uow.devices.add(a_device(factory, "b", name="\ud800"))
        return "all is well"

    assert code_of(database.write(hide)) == "value-not-storable"
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 0


def test_text_that_cannot_be_stored_is_invalid_input(database: Database, factory: Factory) -> None:
    future = database.write(lambda uow: uow.devices.add(a_device(factory, name="\ud800")))
    assert code_of(future) == "value-not-storable"


def test_a_number_too_large_is_invalid_input(database: Database, factory: Factory) -> None:
    assert code_of(database.write(lambda uow: uow.devices.count(2**70))) == "value-not-storable"


def test_reference_to_nothing_is_a_conflict(database: Database, factory: Factory) -> None:
    nowhere = a_device(factory, factory_id=factory.id + 1)
    assert code_of(database.write(lambda uow: uow.devices.add(nowhere))) == "reference-missing"


def test_outcomes_of_one_commit_arrive_in_one_delivery(database: Database) -> None:
    inbox, works = Collector(), range(20)
    inbox.expected = len(works)

    def queue_them(uow: UnitOfWork) -> None:
        for number in works:
            database.submit(lambda _, number=number: number * 2, inbox, number)

    database.write(queue_them).result(10)
    assert inbox.arrived.wait(10)
    assert inbox.deliveries == [[(number, number * 2, None) for number in works]]


def test_an_inbox_that_fails_does_not_stop_the_writer(database: Database, factory: Factory) -> None:
    class Broken:
        def deliver(self, outcomes: Sequence[Outcome]) -> None:
            raise RuntimeError("no one is home")

    database.submit(lambda uow: uow.devices.add(a_device(factory)), Broken(), None)
    assert database.write(lambda uow: uow.devices.count(factory.id)).result(10) == 1


def test_more_works_than_one_commit_carries_all_get_done(database: Database, factory: Factory) -> None:
    works = [lambda uow, n=n: uow.devices.add(a_device(factory, f"dev-{n}")) for n in range(600)]
    assert {code_of(future) for future in write_together(database, works)} == {None}
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 600


def test_a_change_of_trust_is_committed_before_later_works_run(database: Database, factory: Factory) -> None:
    def seen_from_outside(uow: UnitOfWork) -> int:
        return database.read(lambda outside: outside.changes.trust_generation())

    works = [lambda uow: uow.changes.announce(ChangeKind.TRUST, factory.id), seen_from_outside]
    announced, seen = write_together(database, works)
    assert seen.result(10) == announced.result(10)


def test_cancelled_waiting_harms_nobody_else(database: Database, factory: Factory) -> None:
    works = [lambda uow, n=n: uow.devices.add(a_device(factory, f"dev-{n}")) for n in range(2)]
    entered, let_go = threading.Event(), threading.Event()

    def hold(uow: UnitOfWork) -> None:
        entered.set()
        assert let_go.wait(10)

    database.write(hold)
    assert entered.wait(10)
    cancelled, other = [database.write(work) for work in works]
    assert cancelled.cancel()
    let_go.set()
    assert other.exception(10) is None


def test_close_finishes_what_is_queued_and_refuses_the_rest(address: str) -> None:
    database = open_database(address)
    factory = make_factory(database)
    queued = [database.write(lambda uow, n=n: uow.devices.add(a_device(factory, f"dev-{n}"))) for n in range(50)]
    database.close()
    assert {code_of(future) for future in queued} == {None}
    late = database.write(lambda uow: None)
    assert isinstance(late.exception(10), UnavailableError)
    assert code_of(late) == "database-closed"
    with pytest.raises(UnavailableError):
        database.read(lambda uow: uow.changes.generation())


def test_closing_twice_is_closing_once(address: str) -> None:
    database = open_database(address)
    database.close()
    database.close()
    with pytest.raises(UnavailableError) as refused:
        database.read(lambda uow: uow.changes.generation())
    assert refused.value.code == "database-closed"


def test_a_reader_cannot_write(database: Database, factory: Factory) -> None:
    with pytest.raises(UnavailableError):
        database.read(lambda uow: uow.devices.add(a_device(factory)))
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 0
