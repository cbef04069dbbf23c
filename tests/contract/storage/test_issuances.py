"""The issuance log."""

from typing import Any

import pytest

from ownroot.errors import ConflictError, NotFoundError
from ownroot.services.ports import Database
from ownroot.services.records import Factory, IssuanceIntent
from tests.support.stored_values import an_intent, sha256


def record(database: Database, intent: IssuanceIntent) -> int:
    return database.write(lambda uow: uow.issuances.record_intent(intent)).result()


def test_intent_is_open_until_its_certificate_is_recorded(database: Database, factory: Factory) -> None:
    entry = record(database, an_intent(factory))
    (found,) = database.read(lambda uow: uow.issuances.open_intents())
    assert (found.id, found.intent, found.certificate_der, found.voided) == (entry, an_intent(factory), None, False)
    database.write(lambda uow: uow.issuances.record_certificate(entry, b"DER")).result()
    assert database.read(lambda uow: uow.issuances.open_intents()) == []


def test_voided_intent_is_not_open_any_more(database: Database, factory: Factory) -> None:
    entry = record(database, an_intent(factory))
    for _ in range(2):
        database.write(lambda uow: uow.issuances.void(entry)).result()
    assert database.read(lambda uow: uow.issuances.open_intents()) == []


def test_serial_is_used_once_per_issuer(database: Database, factory: Factory) -> None:
    serial = 2**160 - 1
    record(database, an_intent(factory, "a", serial=serial))
    record(database, an_intent(factory, "b", serial=serial, issuer_sha256=sha256("other issuer")))
    with pytest.raises(ConflictError) as refused:
        record(database, an_intent(factory, "c", serial=serial))
    assert refused.value.code == "serial-repeated"


@pytest.mark.parametrize(("first", "code"), [("void", "issuance-voided"), ("record_certificate", "issuance-recorded")])
def test_certificate_is_recorded_once_and_never_after_voiding(
    database: Database, factory: Factory, first: str, code: str
) -> None:
    entry = record(database, an_intent(factory))
    arguments: tuple[Any, ...] = (entry,) if first == "void" else (entry, b"first")
    database.write(lambda uow: getattr(uow.issuances, first)(*arguments)).result()
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.issuances.record_certificate(entry, b"second")).result()
    assert refused.value.code == code


def test_recorded_certificate_is_not_voided(database: Database, factory: Factory) -> None:
    entry = record(database, an_intent(factory))
    database.write(lambda uow: uow.issuances.record_certificate(entry, b"DER")).result()
    database.write(lambda uow: uow.issuances.void(entry)).result()
    (found,) = database.read(lambda uow: uow.issuances.history(factory.id, "dev-1", sha256("dev-1")))
    assert (found.certificate_der, found.voided) == (b"DER", False)


def test_certificate_of_an_unknown_entry_is_refused(database: Database) -> None:
    with pytest.raises(NotFoundError) as refused:
        database.write(lambda uow: uow.issuances.record_certificate(99, b"DER")).result()
    assert refused.value.code == "issuance-unknown"


def test_history_is_newest_first_without_voided_entries(database: Database, factory: Factory) -> None:
    entries = [record(database, an_intent(factory, serial=serial)) for serial in range(1, 26)]
    record(database, an_intent(factory, serial=99, spki_sha256=sha256("other key")))
    database.write(lambda uow: uow.issuances.void(entries[-1])).result()
    found = database.read(lambda uow: uow.issuances.history(factory.id, "dev-1", sha256("dev-1")))
    assert [issuance.id for issuance in found] == entries[-2::-1]


def test_history_ends_after_twenty_certificates_but_shows_everything_open(database: Database, factory: Factory) -> None:
    entries = [record(database, an_intent(factory, serial=serial)) for serial in range(1, 61)]
    recorded, still_open = entries[:25], entries[25:]
    for entry in recorded:
        database.write(lambda uow, entry=entry: uow.issuances.record_certificate(entry, b"DER")).result()
    found = database.read(lambda uow: uow.issuances.history(factory.id, "dev-1", sha256("dev-1")))
    assert [issuance.id for issuance in found] == [*still_open[::-1], *recorded[:-21:-1]]


def test_shared_pki_has_a_history_of_its_own(database: Database, factory: Factory) -> None:
    record(database, an_intent(factory))
    shared = record(database, an_intent(None, serial=7))
    found = database.read(lambda uow: uow.issuances.history(None, "dev-1", sha256("dev-1")))
    assert [issuance.id for issuance in found] == [shared]
    assert found[0].intent == an_intent(None, serial=7)


def test_count_is_of_recorded_certificates_of_that_issuer_alone(database: Database, factory: Factory) -> None:
    issuer, other = sha256("issuer"), sha256("other issuer")

    def issued(subject: str, serial: int, issuer_sha256: bytes = issuer) -> int:
        return record(database, an_intent(factory, subject, serial=serial, issuer_sha256=issuer_sha256))

    signed = [issued("a", 1), issued("b", 2), issued("c", 3, other)]
    given_up, _still_open = issued("d", 4), issued("e", 5)
    database.write(lambda uow: uow.issuances.void(given_up)).result()
    for entry in signed:
        database.write(lambda uow, entry=entry: uow.issuances.record_certificate(entry, b"DER")).result()
    counts = database.read(lambda uow: (uow.issuances.count(issuer), uow.issuances.count(other)))
    assert counts == (2, 1)
    assert database.read(lambda uow: uow.issuances.count(sha256("no issuer"))) == 0
