"""The clock of configurations: in one and the same second, every change is later than all that its devices saw."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ownroot.errors import NotFoundError
from ownroot.fleet.config_files import ConfigFile
from ownroot.services.change_config import ConfigEdit, ConfigTarget, GroupName, change_config, config_history
from ownroot.services.change_device import DeviceChange, change_device
from ownroot.services.config_store import times_of
from ownroot.services.config_vault import ConfigVault
from ownroot.services.device_config import DevicePatch, patch_own_config, read_delivery
from ownroot.services.device_groups import create_group, delete_group
from ownroot.services.manage_devices import DeviceRef
from ownroot.services.records import Device
from tests.support.device_csrs import UUID, device_csr
from tests.support.registering import NOW, RegistrationWorld, registration_world

ME = DeviceRef(UUID, is_uuid=True)
SECOND = int(NOW.timestamp())


class Owner:
    """An owner who does everything within one second."""

    def __init__(self, world: RegistrationWorld) -> None:
        self.world = world
        self.vault = ConfigVault(world.keyring)

    def put(self, target: ConfigTarget, *files: ConfigFile, **edit: object) -> None:
        order = replace(ConfigEdit(target, files), **edit)  # type: ignore[arg-type]
        self.world.write(lambda uow: change_config(uow, self.vault, order, by=self.world.owner, now=NOW))

    def move(self, group: str) -> None:
        change = DeviceChange(group=group)
        self.world.write(lambda uow: change_device(uow, ME, change, by=self.world.owner, now=NOW))

    def device(self, uuid: str = UUID) -> Device:
        device = self.world.device(uuid)
        assert device is not None
        return device

    def send(self, uuid: str, value: str) -> None:
        patch = DevicePatch((ConfigFile("fio-remote-actions", value, unencrypted=True),))
        device = self.device(uuid)
        self.world.write(lambda uow: patch_own_config(uow, self.vault, device, patch, now=NOW))

    def time(self, uuid: str = UUID) -> int:
        device = self.device(uuid)
        return self.world.read(lambda uow: times_of(uow, device).effective)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    with registration_world(tmp_path) as world:
        world.register()
        for name in ("a", "b"):
            world.write(lambda uow, name=name: create_group(uow, name, description="", by=world.owner, now=NOW))
        yield Owner(world)


def test_every_change_a_device_sees_has_a_later_time(owner: Owner) -> None:
    file = ConfigFile("x", "1", unencrypted=True)
    changes = [
        lambda: owner.put(None, file),
        lambda: owner.put(ME, file),
        lambda: owner.put(ME, removes="x"),
        lambda: owner.move("a"),
        lambda: owner.put(GroupName("a"), file),
        lambda: owner.put(None, removes="x"),
        lambda: owner.send(UUID, "reboot"),
        lambda: owner.put(GroupName("a"), removes="x"),
        lambda: owner.move("b"),
        lambda: owner.move(""),
    ]
    times = [owner.time()]
    for change in changes:
        change()
        times.append(owner.time())
    assert times[0] == 0
    assert times[1] == SECOND
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


def test_a_move_with_nothing_configured_is_no_configuration(owner: Owner) -> None:
    owner.move("a")
    assert owner.time() == 0
    owner.put(GroupName("b"), ConfigFile("x", "1"))
    assert owner.time() == 0
    owner.move("b")
    assert owner.time() >= SECOND


def test_what_many_devices_send_of_themselves_does_not_add_up(owner: Owner) -> None:
    uuids = [f"11111111-2222-4333-8444-0000000000{number}" for number in range(10, 30)]
    for uuid in uuids:
        owner.world.register(device_csr(uuid))
        owner.send(uuid, "reboot")
    assert {owner.time(uuid) for uuid in uuids} == {SECOND}
    owner.put(None, ConfigFile("x", "1"))
    assert {owner.time(uuid) for uuid in uuids} == {SECOND + 1}


def test_device_that_sends_the_same_again_leaves_no_trace(owner: Owner) -> None:
    for _ in range(2):
        owner.send(UUID, "reboot")
    assert owner.time() == SECOND
    history = owner.world.read(lambda uow: config_history(uow, owner.vault, owner.world.factory, ME))
    assert len(history) == 1


def test_group_whose_id_is_given_again_starts_without_a_configuration(owner: Owner) -> None:
    owner.put(GroupName("b"), ConfigFile("x", "1"))
    owner.world.write(lambda uow: delete_group(uow, "b", by=owner.world.owner, now=NOW))
    owner.world.write(lambda uow: create_group(uow, "c", description="", by=owner.world.owner, now=NOW))
    owner.move("c")
    device = owner.device()
    assert owner.world.read(lambda uow: read_delivery(uow, owner.vault, device)).files == ()


def test_what_an_earlier_server_left_of_a_deleted_device_is_not_its_successors(owner: Owner) -> None:
    owner.put(ME, ConfigFile("old", "secret", unencrypted=True))
    factory_id = owner.world.factory.id
    owner.world.write(lambda uow: uow.devices.delete(factory_id, UUID))  # as a server that knows no configuration
    owner.world.register()
    owner.put(ME, ConfigFile("new", "1", unencrypted=True))
    device = owner.device()
    delivery = owner.world.read(lambda uow: read_delivery(uow, owner.vault, device))
    assert [file.name for file in delivery.files] == ["new"]


def test_device_that_is_gone_fetches_nothing(owner: Owner) -> None:
    device = owner.device()
    other = replace(device, spki_sha256=b"\0" * 32)
    with pytest.raises(NotFoundError) as refused:
        owner.world.read(lambda uow: read_delivery(uow, owner.vault, other))
    assert refused.value.code == "device-unknown"
