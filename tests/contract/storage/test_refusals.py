"""Refusal records: merged, bounded, and harmless whatever a stranger wrote into them."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta

import pytest

from ownroot.services.ports import Database
from ownroot.services.records import Factory
from ownroot.storage import StorageOptions, open_database
from tests.support.stored_values import NOW, a_refusal, make_factory, sha256

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def bounded(address: str) -> Iterator[Database]:
    """A database that keeps ten records per factory."""
    opened = open_database(address, options=StorageOptions(refusals_kept=10))
    yield opened
    opened.close()


def test_repeats_are_merged(database: Database, factory: Factory) -> None:
    again = a_refusal(factory, count=3, first_at=LATER, last_at=LATER, peer="192.0.2.2", detail="newer words")
    database.write(lambda uow: uow.refusals.record([a_refusal(factory), again])).result()
    database.write(lambda uow: uow.refusals.record([a_refusal(factory)])).result()
    expected = dataclasses.replace(a_refusal(factory), count=5, last_at=LATER)
    assert database.read(lambda uow: uow.refusals.list(factory.id)) == [expected]


def test_refusals_without_a_certificate_are_merged_too(database: Database, factory: Factory) -> None:
    nameless = a_refusal(factory, certificate_sha256=None, subject="")
    for _ in range(2):
        database.write(lambda uow: uow.refusals.record([nameless])).result()
    assert database.read(lambda uow: uow.refusals.list(factory.id)) == [dataclasses.replace(nameless, count=2)]


def test_list_is_newest_first_and_by_subject(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    records = [
        a_refusal(factory, subject="a", last_at=LATER),
        a_refusal(factory, subject="b"),
        a_refusal(factory, subject="a", code="expired"),
        a_refusal(other, subject="a"),
    ]
    database.write(lambda uow: uow.refusals.record(records)).result()
    assert database.read(lambda uow: uow.refusals.list(factory.id)) == [records[0], records[2], records[1]]
    assert database.read(lambda uow: uow.refusals.list(factory.id, uuid="a", limit=1)) == [records[0]]


def test_strangers_cannot_grow_the_database(bounded: Database) -> None:
    factory = make_factory(bounded)
    flood = [
        a_refusal(factory, certificate_sha256=sha256(str(n)), last_at=NOW + timedelta(seconds=n)) for n in range(50)
    ]
    for start in range(0, 50, 7):
        bounded.write(lambda uow, start=start: uow.refusals.record(flood[start : start + 7])).result()
    assert bounded.read(lambda uow: uow.refusals.list(factory.id)) == flood[:-11:-1]


def test_flood_of_one_kind_leaves_the_others(bounded: Database) -> None:
    factory = make_factory(bounded)
    clone = a_refusal(factory, code="key-mismatch")
    flood = [a_refusal(factory, certificate_sha256=sha256(str(n)), last_at=LATER) for n in range(50)]
    bounded.write(lambda uow: uow.refusals.record([clone, *flood])).result()
    kept = bounded.read(lambda uow: uow.refusals.list(factory.id))
    assert clone in kept
    assert len(kept) == 10


def test_flood_in_one_factory_leaves_the_others(bounded: Database) -> None:
    factory, other = make_factory(bounded), make_factory(bounded, "other")
    flood = [a_refusal(factory, certificate_sha256=sha256(str(n))) for n in range(50)]
    bounded.write(lambda uow: uow.refusals.record([a_refusal(other), *flood])).result()
    assert bounded.read(lambda uow: uow.refusals.list(other.id)) == [a_refusal(other)]


def test_odd_text_of_a_stranger_is_stored_readably(database: Database, factory: Factory) -> None:
    odd = a_refusal(factory, subject="a\0b\ud800", peer="\0")
    database.write(lambda uow: uow.refusals.record([odd])).result()
    (found,) = database.read(lambda uow: uow.refusals.list(factory.id))
    assert (found.subject, found.peer) == ("a\ufffdb?", "\ufffd")
