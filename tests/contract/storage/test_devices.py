"""Devices and the deny list."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from ownroot.errors import ConflictError, NotFoundError
from ownroot.services.ports import Database
from ownroot.services.records import Factory
from tests.support.stored_values import NOW, a_denial, a_device, a_visit, make_factory, make_group, sha256

LATER = NOW + timedelta(hours=1)


def test_device_reads_back_as_it_was_added(database: Database, factory: Factory) -> None:
    device = a_device(
        factory,
        "Dev-1",
        production=True,
        next_spki_sha256=sha256("next"),
        group=make_group(database, factory).ref,
        last_seen=NOW,
        tags="main",
        target_name="target",
        ostree_hash="abc",
        docker_apps="",
    )
    database.write(lambda uow: uow.devices.add(device)).result()
    assert database.read(lambda uow: uow.devices.find(factory.id, "Dev-1")) == device
    assert database.read(lambda uow: uow.devices.find_by_name(factory.id, "Dev-1")) == device


def test_device_never_seen_reads_back_as_such(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == a_device(factory)


@pytest.mark.parametrize(
    ("uuid", "changes", "code"),
    [
        ("dev-1", {"name": "other", "spki_sha256": sha256("other")}, "device-uuid-taken"),
        ("DEV-1", {"name": "other", "spki_sha256": sha256("other")}, "device-uuid-case-twin"),
        ("dev-2", {"name": "dev-1"}, "device-name-taken"),
        ("dev-2", {"spki_sha256": sha256("dev-1")}, "device-key-taken"),
        ("dev-1", {}, "device-uuid-taken"),
    ],
)
def test_unique_values_of_a_factory_are_taken_once(
    database: Database, factory: Factory, uuid: str, changes: dict[str, Any], code: str
) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.devices.add(a_device(factory, uuid, **changes))).result()
    assert refused.value.code == code


def test_other_factory_may_have_the_same_uuid_name_and_key(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    for place in (factory, other):
        database.write(lambda uow, place=place: uow.devices.add(a_device(place))).result()
    assert database.read(lambda uow: uow.devices.count(other.id)) == 1


def test_case_twin_is_told_from_the_device_itself(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory, "Dev-1"))).result()
    assert database.read(lambda uow: uow.devices.has_case_twin(factory.id, "dev-1"))
    assert not database.read(lambda uow: uow.devices.has_case_twin(factory.id, "Dev-1"))
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) is None


def test_new_key_leaves_the_rest_of_the_device(database: Database, factory: Factory) -> None:
    device = a_device(factory, tags="main", last_seen=NOW)
    renewed = dataclasses.replace(
        device, spki_der=b"new", spki_sha256=sha256("new"), production=True, issuer_serial=7, tags="ignored"
    )
    database.write(lambda uow: uow.devices.add(device)).result()
    database.write(lambda uow: uow.devices.replace_key(renewed)).result()
    expected = dataclasses.replace(renewed, tags="main")
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == expected


def test_key_of_another_device_is_refused(database: Database, factory: Factory) -> None:
    for uuid in ("dev-1", "dev-2"):
        database.write(lambda uow, uuid=uuid: uow.devices.add(a_device(factory, uuid))).result()
    stolen = a_device(factory, "dev-2", spki_sha256=sha256("dev-1"))
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.devices.replace_key(stolen)).result()
    assert refused.value.code == "device-key-taken"


def test_key_of_an_unknown_device_is_not_replaced(database: Database, factory: Factory) -> None:
    with pytest.raises(NotFoundError) as refused:
        database.write(lambda uow: uow.devices.replace_key(a_device(factory))).result()
    assert refused.value.code == "device-unknown"


def test_deleted_device_frees_its_uuid_name_and_key(database: Database, factory: Factory) -> None:
    for _ in range(2):
        database.write(lambda uow: uow.devices.add(a_device(factory))).result()
        database.write(lambda uow: uow.devices.delete(factory.id, "dev-1")).result()
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) is None
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 0


def test_deleting_a_case_twin_or_nothing_changes_nothing(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    for uuid in ("DEV-1", "dev-2"):
        database.write(lambda uow, uuid=uuid: uow.devices.delete(factory.id, uuid)).result()
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 1


def test_denial_is_renewed_and_lifted(database: Database, factory: Factory) -> None:
    renewed = a_denial(factory, denied_at=LATER, denied_by="someone")
    for denial in (a_denial(factory), renewed):
        database.write(lambda uow, denial=denial: uow.devices.deny(denial)).result()
    assert database.read(lambda uow: uow.devices.find_denied(factory.id, "dev-1")) == renewed
    database.write(lambda uow: uow.devices.lift_denial(factory.id, "dev-1")).result()
    assert database.read(lambda uow: uow.devices.find_denied(factory.id, "dev-1")) is None


def test_denials_are_listed_by_page_and_factory(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    for place, uuid in ((factory, "c"), (factory, "a"), (other, "x"), (factory, "b")):
        database.write(lambda uow, place=place, uuid=uuid: uow.devices.deny(a_denial(place, uuid))).result()
    page, total = database.read(lambda uow: uow.devices.list_denied(factory.id, limit=2, page=2))
    assert [denial.uuid for denial in page] == ["c"]
    assert total == 3


def test_visit_keeps_what_it_does_not_tell(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory, tags="main", target_name="old"))).result()
    visit = a_visit(factory, seen_at=LATER, target_name="", docker_apps="shell")
    database.write(lambda uow: uow.devices.record_check_ins([visit])).result()
    expected = a_device(factory, tags="main", target_name="", docker_apps="shell", last_seen=LATER)
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == expected


def test_older_visit_changes_nothing(database: Database, factory: Factory) -> None:
    device = a_device(factory, last_seen=LATER, tags="new")
    database.write(lambda uow: uow.devices.add(device)).result()
    database.write(lambda uow: uow.devices.record_check_ins([a_visit(factory, tags="old")])).result()
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == device


def test_visit_of_a_device_that_is_gone_is_dropped(database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    visits = [a_visit(factory, "gone"), a_visit(factory)]
    database.write(lambda uow: uow.devices.record_check_ins(visits)).result()
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 1


def test_described_device_keeps_everything_but_name_owner_and_group(database: Database, factory: Factory) -> None:
    device = a_device(factory, tags="main", last_seen=NOW)
    group = make_group(database, factory).ref
    changed = dataclasses.replace(device, name="new", owner="1" * 24, group=group, tags="ignored", production=True)
    database.write(lambda uow: uow.devices.add(device)).result()
    database.write(lambda uow: uow.devices.describe(changed)).result()
    expected = dataclasses.replace(device, name="new", owner="1" * 24, group=group)
    assert database.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == expected
    database.write(lambda uow: uow.devices.describe(dataclasses.replace(expected, group=None))).result()
    assert database.read(lambda uow: uow.devices.find_by_name(factory.id, "new")) == dataclasses.replace(
        expected, group=None
    )


def test_name_of_another_device_is_not_taken_over(database: Database, factory: Factory) -> None:
    for uuid in ("dev-1", "dev-2"):
        database.write(lambda uow, uuid=uuid: uow.devices.add(a_device(factory, uuid))).result()
    taken = a_device(factory, "dev-2", name="dev-1")
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.devices.describe(taken)).result()
    assert refused.value.code == "device-name-taken"
    with pytest.raises(NotFoundError):
        database.write(lambda uow: uow.devices.describe(a_device(factory, "dev-3"))).result()


def test_pins_come_by_lower_case_uuid_page_by_page(database: Database, factory: Factory) -> None:
    for uuid in ("b", "C", "a"):
        database.write(lambda uow, uuid=uuid: uow.devices.add(a_device(factory, uuid))).result()  # type: ignore[misc]  # the loop's value is bound
    first = database.read(lambda uow: uow.devices.pins(factory.id, after="", limit=2))
    rest = database.read(lambda uow: uow.devices.pins(factory.id, after=first[-1].uuid, limit=2))
    assert [pin.uuid for pin in (*first, *rest)] == ["a", "b", "C"]
    assert first[0].spki_sha256 == a_device(factory, "a").spki_sha256


def test_denied_uuids_come_page_by_page_and_not_those_of_another_factory(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    for place, uuid in ((factory, "a"), (factory, "b"), (other, "c")):
        database.write(lambda uow, place=place, uuid=uuid: uow.devices.deny(a_denial(place, uuid))).result()  # type: ignore[misc]  # the loop's value is bound
    first = database.read(lambda uow: uow.devices.denied_uuids(factory.id, after="", limit=1))
    rest = database.read(lambda uow: uow.devices.denied_uuids(factory.id, after=first[-1], limit=5))
    assert [*first, *rest] == ["a", "b"]
