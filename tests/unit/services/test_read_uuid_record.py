"""What is on record under a uuid: nothing, a device, one that was deleted, one that is held, one in other letters."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.pki.names import DeviceUuid
from ownroot.services.read_uuid_record import UuidRecord, read_uuid_record
from tests.support.device_csrs import UUID, device_csr
from tests.support.held import forgotten, note_restore, refuse
from tests.support.registering import RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def record(world: RegistrationWorld, uuid: str = UUID) -> UuidRecord:
    return world.read(lambda uow: read_uuid_record(uow, world.factory, DeviceUuid(uuid)))


def test_new_uuid_has_no_record(world: RegistrationWorld) -> None:
    assert record(world) == UuidRecord()


def test_known_device_is_on_record_with_its_owner(world: RegistrationWorld) -> None:
    world.register(name="pump")
    assert record(world) == UuidRecord(known=world.device(), owner=world.owner.user)


def test_device_from_before_a_take_over_is_marked_as_free_to_be_replaced(world: RegistrationWorld) -> None:
    world.register()
    assert not record(world).is_unclaimed
    world.take_over()
    assert record(world).is_unclaimed


def test_deleted_device_is_on_record_with_who_deleted_it(world: RegistrationWorld) -> None:
    world.register(name="pump")
    world.delete()
    found = record(world)
    assert found.denied is not None
    assert (found.known, found.denied.name, found.denied_by) == (None, "pump", world.owner.user)


def test_held_device_is_on_record_until_it_is_refused(world: RegistrationWorld) -> None:
    note_restore(world)
    device, rival = forgotten(world), forgotten(world)
    for visitor in (device, rival):
        assert visitor.visit() == "device-held-for-review"
    assert {entry.spki_sha256 for entry in record(world).waiting} == {device.spki_sha256, rival.spki_sha256}
    assert refuse(world, rival.key) == ["ok"]
    assert [entry.spki_sha256 for entry in record(world).waiting] == [device.spki_sha256]


def test_uuid_in_other_letters_is_on_record_as_a_twin_alone(world: RegistrationWorld) -> None:
    lower = "abcdef00-2222-4333-8444-555555555555"
    world.register(device_csr(lower))
    assert record(world, lower.upper()) == UuidRecord(has_case_twin=True)
    assert not record(world, lower).has_case_twin
