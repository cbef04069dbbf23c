"""What devices report: documents, apps, events and tests."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest

from ownroot.errors import ConflictError, RefusedError
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.record_reports import newest_events, record_apps_state, record_document, record_events
from ownroot.services.record_tests import start_test
from ownroot.services.records import Device, Factory
from ownroot.services.report_ports import (
    MAX_APPS_STATES,
    MAX_EVENTS_PER_UPDATE,
    MAX_TESTS,
    MAX_UPDATES,
    AppsState,
    DeviceTest,
    DeviceTestStatus,
    Document,
    DocumentKind,
    ReportedEvent,
)
from tests.support.stored_values import NOW, a_device, make_factory, sha256

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def device(database: Database, factory: Factory) -> Device:
    made = a_device(factory)
    database.write(lambda uow: uow.devices.add(made)).result()
    return made


@pytest.fixture
def reporter(database: Database, device: Device) -> int:
    return found(database, device)


def found(database: Database, device: Device) -> int:
    reporter = database.read(lambda uow: uow.reporters.find(device))
    assert reporter is not None
    return reporter


def write(database: Database, work: Callable[[UnitOfWork], object]) -> None:
    database.write(work).result()


def an_event(id_: str, correlation_id: str = "c") -> ReportedEvent:
    return ReportedEvent(id_, correlation_id, "UpdateInitStarted", None, "target", "7", b'{"id":"%s"}' % id_.encode())


def a_test(number: int) -> DeviceTest:
    return DeviceTest(0, f"test-{number}", "n", "t", DeviceTestStatus.RUNNING, "", b"[]", NOW, None)


def test_reporter_is_the_device_with_the_key_it_has_now(database: Database, device: Device) -> None:
    twin = dataclasses.replace(device, factory_id=make_factory(database, "other").id)
    for other in (dataclasses.replace(device, spki_sha256=sha256("another key")), twin):
        assert database.read(lambda uow, other=other: uow.reporters.find(other)) is None
    assert found(database, device) > 0
    write(database, lambda uow: uow.devices.delete(device.factory_id, device.uuid))
    assert database.read(lambda uow: uow.reporters.find(device)) is None


def test_last_document_of_each_kind_is_kept(database: Database, reporter: int) -> None:
    for kind in DocumentKind:
        for body, at in ((b"old", NOW), (b"\0new", LATER)):
            document = Document(kind, body, at)
            write(database, lambda uow, document=document: uow.documents.put(reporter, document))
    for kind in DocumentKind:
        stored = database.read(lambda uow, kind=kind: uow.documents.find(reporter, kind))
        assert stored == Document(kind, b"\0new", LATER)


def test_newest_apps_states_are_kept(database: Database, reporter: int) -> None:
    states = [AppsState(b"%d" % number, NOW) for number in range(MAX_APPS_STATES + 2)]
    for state in states:
        write(database, lambda uow, state=state: uow.documents.add_apps_state(reporter, state))
    assert database.read(lambda uow: uow.documents.apps_states(reporter)) == states[:1:-1]


def test_events_are_kept_once_and_in_bounds(database: Database, device: Device, reporter: int) -> None:
    many = [an_event(f"e-{number}", f"c-{number}") for number in range(MAX_UPDATES + 1)]
    more = [an_event(f"m-{number}", "long") for number in range(MAX_EVENTS_PER_UPDATE)]
    for events in (many, more, more[:1], [an_event("last", "long")], [an_event("last", "elsewhere")]):
        groups = newest_events(events)
        write(database, lambda uow, groups=groups: record_events(uow, device, groups, now=LATER))
    updates = database.read(lambda uow: uow.updates.list(reporter))
    assert [update.correlation_id for update in updates] == ["long", *(f"c-{n}" for n in range(MAX_UPDATES, 1, -1))]
    assert (updates[0].target_name, updates[0].version, updates[0].started_at) == ("target", "7", LATER)
    bodies = database.read(lambda uow: uow.updates.events(updates[0]))
    assert bodies == [event.body for event in (*more[1:], an_event("last"))]


def test_newest_tests_are_kept_and_an_id_is_used_once(database: Database, reporter: int) -> None:
    for number in range(MAX_TESTS + 1):
        write(database, lambda uow, number=number: uow.tests.add(reporter, a_test(number)))
    kept = database.read(lambda uow: uow.tests.list(reporter))
    assert [test.test_id for test in kept] == [f"test-{number}" for number in range(MAX_TESTS, 0, -1)]
    with pytest.raises(ConflictError) as refused:
        write(database, lambda uow: uow.tests.add(reporter, a_test(MAX_TESTS)))
    assert refused.value.code == "test-exists"


def test_artifacts_are_announced_written_counted_and_dropped(database: Database, reporter: int) -> None:
    write(database, lambda uow: uow.tests.add(reporter, a_test(1)))
    test = database.read(lambda uow: uow.tests.find(reporter, "test-1"))
    assert test is not None
    ended = dataclasses.replace(test, status=DeviceTestStatus.PASSED, details="d", completed_at=LATER)
    write(database, lambda uow: uow.tests.finish(ended, ("a", "b")))
    assert database.read(lambda uow: uow.tests.find(reporter, "test-1")) == ended
    write(database, lambda uow: uow.tests.write_artifact(test, "a", b"\0\xff"))
    assert sizes(database, test) == {"a": 2, "b": None}
    assert database.read(lambda uow: uow.tests.read_artifact(test, "a")) == b"\0\xff"
    assert database.read(lambda uow: uow.tests.read_artifact(test, "b")) is None
    assert database.read(lambda uow: uow.tests.artifact_bytes(reporter)) == [(test.id, 2)]
    write(database, lambda uow: uow.tests.finish(ended, ("a", "c")))
    assert sizes(database, test) == {"a": 2, "c": None}
    write(database, lambda uow: uow.tests.drop_artifacts(test.id))
    assert sizes(database, test) == {"a": None, "c": None}
    assert database.read(lambda uow: uow.tests.artifact_bytes(reporter)) == []


def sizes(database: Database, test: DeviceTest) -> dict[str, int | None]:
    return {found.name: found.size_bytes for found in database.read(lambda uow: uow.tests.artifacts(test))}


def test_device_that_is_gone_or_has_another_key_stores_nothing(database: Database, device: Device) -> None:
    groups = newest_events([an_event("e")])
    write(database, lambda uow: record_events(uow, device, groups, now=NOW))
    write(database, lambda uow: uow.devices.delete(device.factory_id, device.uuid))
    write(database, lambda uow: uow.devices.add(dataclasses.replace(device, spki_sha256=sha256("new"))))
    works: list[Callable[[UnitOfWork], None]] = [
        lambda uow: record_events(uow, device, groups, now=NOW),
        lambda uow: record_apps_state(uow, device, AppsState(b"{}", NOW)),
        lambda uow: record_document(uow, device, Document(DocumentKind.HARDWARE, b"{}", NOW)),
        lambda uow: start_test(uow, device, a_test(1)),
    ]
    for work in works:
        with pytest.raises(RefusedError) as refused:
            write(database, work)
        assert refused.value.code == "device-gone"
    reporter = found(database, dataclasses.replace(device, spki_sha256=sha256("new")))
    assert database.read(lambda uow: (uow.updates.list(reporter), uow.tests.list(reporter))) == ([], [])
