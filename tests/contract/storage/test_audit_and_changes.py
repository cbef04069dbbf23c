"""The audit chain and the change feed: what happened, in commit order."""

from collections.abc import Iterator

import pytest

from ownroot.audit.events import canonical_bytes
from ownroot.audit.log import verify_log
from ownroot.audit.merkle import frontier_of, leaf_hash
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import Change, ChangeKind, Factory
from ownroot.storage import StorageOptions, open_database
from tests.support.stored_values import an_event, make_factory


@pytest.fixture
def forgetful(address: str) -> Iterator[Database]:
    """A database that keeps ten rows of its change feed."""
    opened = open_database(address, options=StorageOptions(changes_kept=10))
    yield opened
    opened.close()


def announce(database: Database, factory: Factory | None, kind: ChangeKind = ChangeKind.DEVICE) -> int:
    factory_id = None if factory is None else factory.id
    return database.write(lambda uow: uow.changes.announce(kind, factory_id)).result()


def test_every_event_is_a_leaf_of_the_log(database: Database, factory: Factory) -> None:
    events = [an_event(factory if number % 3 else None, f"dev-{number}") for number in range(2_500)]

    def append(uow: UnitOfWork) -> None:
        for event in events:
            uow.audit.append(event)

    database.write(append).result()
    bodies = [canonical_bytes(event) for event in events]
    assert database.read(lambda uow: list(uow.audit.bodies())) == bodies
    assert database.read(lambda uow: uow.audit.head()) == frontier_of(leaf_hash(body) for body in bodies)
    database.read(lambda uow: verify_log(uow.audit.bodies(), uow.audit.head()))


def test_log_goes_on_where_it_was_after_reopening(address: str) -> None:
    for subject in ("first", "second"):
        database = open_database(address)
        database.write(lambda uow, subject=subject: uow.audit.append(an_event(None, subject))).result()
        database.close()
    database = open_database(address)
    database.read(lambda uow: verify_log(uow.audit.bodies(), uow.audit.head()))
    assert [event.subject for event in database.read(lambda uow: uow.audit.list(None))] == ["second", "first"]
    database.close()


def test_events_are_listed_by_factory(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")

    def append(uow: UnitOfWork) -> list[str]:
        for place, subject in ((factory, "a"), (other, "b"), (None, "c"), (factory, "d")):
            uow.audit.append(an_event(place, subject))
        return [event.subject for event in uow.audit.list(factory.id)]

    assert database.write(append).result() == ["d", "a"]
    assert database.read(lambda uow: uow.audit.list(factory.id, limit=1)) == [an_event(factory, "d")]
    assert database.read(lambda uow: uow.audit.list(None)) == [an_event(None, "c")]


def test_changes_are_told_in_order(database: Database, factory: Factory) -> None:
    start = database.read(lambda uow: uow.changes.generation())
    first, second = announce(database, factory, ChangeKind.TRUST), announce(database, None, ChangeKind.TRUST)
    assert (first, second) == (start + 1, start + 2)
    expected = [Change(first, ChangeKind.TRUST, factory.id, None), Change(second, ChangeKind.TRUST, None, None)]
    assert database.read(lambda uow: uow.changes.since(start)) == expected
    assert database.read(lambda uow: uow.changes.since(first)) == expected[1:]
    assert database.read(lambda uow: uow.changes.since(second)) == []


def test_trust_generation_stands_still_while_devices_change(database: Database, factory: Factory) -> None:
    trust = announce(database, factory, ChangeKind.TRUST)
    announce(database, factory, ChangeKind.DEVICE)
    assert database.read(lambda uow: uow.changes.trust_generation()) == trust
    made = announce(database, factory, ChangeKind.FACTORY)
    assert database.read(lambda uow: uow.changes.trust_generation()) == made == trust + 2


def test_changes_are_seen_inside_their_own_transaction(database: Database, factory: Factory) -> None:
    def look(uow: UnitOfWork) -> tuple[int, int]:
        before = uow.changes.generation()
        uow.changes.announce(ChangeKind.DEVICE, factory.id)
        changes = uow.changes.since(before)
        return uow.changes.generation() - before, len(changes or ())

    assert database.write(look).result() == (1, 1)


def test_generation_of_a_failed_work_is_not_given_again(database: Database, factory: Factory) -> None:
    given: list[int] = []

    def fail(uow: UnitOfWork) -> None:
        given.append(uow.changes.announce(ChangeKind.TRUST, factory.id))
        raise ZeroDivisionError

    start = database.read(lambda uow: uow.changes.trust_generation())
    assert database.write(fail).exception() is not None
    assert database.read(lambda uow: uow.changes.trust_generation()) == start
    assert announce(database, factory, ChangeKind.TRUST) > given[0]


def test_reader_that_fell_behind_is_told_to_reload(forgetful: Database) -> None:
    factory = make_factory(forgetful)
    generations = [announce(forgetful, factory) for _ in range(40)]
    assert forgetful.read(lambda uow: uow.changes.since(generations[0])) is None
    recent = forgetful.read(lambda uow: uow.changes.since(generations[-5]))
    assert recent is not None
    assert [change.generation for change in recent] == generations[-4:]


def test_generation_from_the_future_means_reload(database: Database, factory: Factory) -> None:
    assert database.read(lambda uow: uow.changes.since(uow.changes.generation() + 1)) is None
