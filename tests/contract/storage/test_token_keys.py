"""Which keys on a token a database names: whatever it does not name, a sweep may destroy."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.errors import ConflictError
from ownroot.services.ports import Database
from ownroot.services.records import Factory, SealedKey
from ownroot.trust.possession import KeyKind, PendingKey
from tests.support.stored_values import NOW, a_sealed_key, sha256

FIRST, SECOND = b"\x01" * 16, b"\x02" * 16


def on_token(name: str, key_id: bytes) -> SealedKey:
    return replace(a_sealed_key(name), token_key_id=key_id)


def named(database: Database) -> frozenset[bytes]:
    return database.read(lambda uow: uow.token_keys.named())


def intend(database: Database, key_id: bytes) -> None:
    database.write(lambda uow: uow.token_keys.intend(key_id, now=NOW)).result()


def add_pending(database: Database, factory: Factory, key: SealedKey) -> None:
    pending = PendingKey(KeyKind.ONLINE_CA, key.spki_sha256, (), NOW, NOW + timedelta(minutes=10))
    database.write(lambda uow: uow.keys.add_pending(factory.id, pending, key)).result()


def test_a_key_that_is_being_made_is_named(database: Database) -> None:
    intend(database, FIRST)
    assert named(database) == {FIRST}


def test_a_settled_intent_names_nothing_and_is_settled_once(database: Database) -> None:
    intend(database, FIRST)
    database.write(lambda uow: uow.token_keys.settle(FIRST)).result()
    assert named(database) == frozenset()
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.token_keys.settle(FIRST)).result()
    assert refused.value.code == "token-key-voided"


def test_a_void_intent_cannot_be_settled(database: Database) -> None:
    intend(database, FIRST)
    assert database.write(lambda uow: uow.token_keys.void(before=NOW)).result() == 0
    assert database.write(lambda uow: uow.token_keys.void(before=NOW + timedelta(seconds=1))).result() == 1
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.token_keys.settle(FIRST)).result()
    assert refused.value.code == "token-key-voided"


def test_a_server_alone_voids_intents_of_any_age(database: Database) -> None:
    intend(database, FIRST)
    assert database.write(lambda uow: uow.token_keys.void(before=None)).result() == 1
    assert named(database) == frozenset()


def test_a_stored_key_is_named_until_it_is_destroyed(database: Database, factory: Factory) -> None:
    add_pending(database, factory, on_token("first", FIRST))
    database.write(lambda uow: uow.keys.add_active(factory.id, a_sealed_key("sealed"))).result()
    assert named(database) == {FIRST}
    assert database.read(lambda uow: uow.keys.find(sha256("first"))) == on_token("first", FIRST)
    database.write(lambda uow: uow.keys.destroy(sha256("first"))).result()
    assert named(database) == frozenset()


def test_two_keys_cannot_be_the_same_object(database: Database, factory: Factory) -> None:
    add_pending(database, factory, on_token("first", FIRST))
    with pytest.raises(ConflictError):
        add_pending(database, factory, on_token("second", FIRST))


def test_the_newest_key_in_service_is_found_and_no_pending_one(database: Database, factory: Factory) -> None:
    assert database.read(lambda uow: uow.token_keys.newest_active()) is None
    add_pending(database, factory, on_token("first", FIRST))
    assert database.read(lambda uow: uow.token_keys.newest_active()) is None
    database.write(lambda uow: uow.keys.activate(factory.id, sha256("first"))).result()
    add_pending(database, factory, on_token("second", SECOND))
    assert database.read(lambda uow: uow.token_keys.newest_active()) == FIRST


def test_long_expired_pending_keys_of_every_factory_are_dropped(database: Database, factory: Factory) -> None:
    add_pending(database, factory, on_token("pending", FIRST))
    database.write(lambda uow: uow.keys.add_active(factory.id, on_token("active", SECOND))).result()
    end = NOW + timedelta(minutes=10, days=1)
    last_second = end - timedelta(seconds=1)
    assert database.write(lambda uow: uow.keys.drop_expired(now=last_second)).result() == 0
    assert database.write(lambda uow: uow.keys.drop_expired(now=end)).result() == 1
    assert named(database) == {SECOND}
