"""What a device fetches below /repo/ (protocol: gateway.md §6.10, tuf.md §7), judged by a device's rules."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count

import pytest

from ownroot.clock import utc_now
from ownroot.keystore.sealing import Sealer
from ownroot.services.backend_keys import Keyring
from ownroot.services.records import SealedKeyPurpose
from ownroot.services.tuf_keys import online_signers
from ownroot.services.tuf_publishing import ensure_repository, publish_ci
from ownroot.tuf.device_rules import DeviceTrust
from tests.support.certificates import Pair
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.tls_device import Device, Reply

KEYRING = Keyring({SealedKeyPurpose.TUF: Sealer(bytes(32))})
_numbers = count(100)
ENTRY = {"length": 0, "hashes": {"sha256": "ab" * 32}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path_factory.mktemp("gateway")) as started:
        started.write(partial(ensure_repository, factory=started.acme.factory, keyring=KEYRING, now=utc_now()))
        yield started


@dataclass
class Fetcher:
    """A device that follows a tag."""

    world: GatewayWorld
    identity: Pair
    tags: str = "main"

    def get(self, name: str) -> Reply:
        headers = {"x_ats_tags": self.tags} if self.tags else {}
        return Device(identity=self.identity).get(self.world.address, f"/repo/{name}", **headers)

    def walk(self, trust: DeviceTrust) -> DeviceTrust:
        while (reply := self.get(f"{trust.root.version + 1}.root.json")).status == 200:
            trust.update_root(reply.body)
        assert reply.status == 404
        trust.update_timestamp(self.get("timestamp.json").body, now=utc_now())
        trust.update_snapshot(self.get("snapshot.json").body, now=utc_now())
        trust.update_targets(self.get("targets.json").body, now=utc_now())
        return trust


def publish(world: GatewayWorld, tag: str, name: str | None = None) -> None:
    factory_id = world.acme.factory.id

    def work(uow) -> None:
        if name is not None:
            uow.tuf.put_target(factory_id, tag, name, ENTRY)
        online = online_signers(uow, factory_id, KEYRING)
        publish_ci(uow, factory_id, online, now=utc_now(), new_tag=tag)

    world.write(work)


def test_device_verifies_from_its_first_root_and_sees_new_targets_within_moments(world: GatewayWorld) -> None:
    device = Fetcher(world, world.device("tuf-1"))
    trust = device.walk(DeviceTrust(device.get("1.root.json").body))
    assert trust.root.version == 2

    publish(world, "main", "lmp-1")

    world.await_(lambda: b"lmp-1" in device.get("targets.json").body)
    device.walk(trust)
    assert trust.targets is not None
    assert b"lmp-1" in trust.targets.data


def test_documents_are_served_as_they_were_signed_with_their_checksum(world: GatewayWorld) -> None:
    reply = Fetcher(world, world.device("tuf-2")).get("2.root.json")

    stored = world.write(lambda uow: uow.tuf.find_root(world.acme.factory.id, 2, production=False))
    assert reply.body == stored
    assert reply.headers["x-ats-role-checksum"] == sha256(reply.body).hexdigest()
    assert reply.headers["content-type"] == "application/json"


def test_first_tag_of_the_device_that_has_targets_decides(world: GatewayWorld) -> None:
    publish(world, "devel", "lmp-9")
    identity = world.device("tuf-3")

    assert b"lmp-9" in Fetcher(world, identity, "unknown, devel,main").get("targets.json").body
    assert b"lmp-9" not in Fetcher(world, identity, "main,devel").get("targets.json").body


@pytest.mark.parametrize("tags", ["", "unknown", ",", "x" * 300, "../main"])
def test_without_a_tag_that_is_known_there_are_no_documents(world: GatewayWorld, tags: str) -> None:
    device = Fetcher(world, world.device(f"tuf-{next(_numbers)}"), tags)

    assert [device.get(f"{name}.json").status for name in ("timestamp", "snapshot", "targets")] == [404] * 3
    assert device.get("1.root.json").status == 200  # roots are the same for every tag


@pytest.mark.parametrize(
    "name", ["root.json", "0.root.json", "01.root.json", "1000.root.json", "-1.root.json", "x.json", "1.targets.json"]
)
def test_no_other_names_are_served(world: GatewayWorld, name: str) -> None:
    assert Fetcher(world, world.device(f"tuf-{next(_numbers)}")).get(name).status == 404


def test_production_devices_have_a_chain_of_their_own_and_no_ci_targets(world: GatewayWorld) -> None:
    device = Fetcher(world, world.device("tuf-prod", production=True))
    assert device.get("2.root.json").status == 200
    assert device.get("timestamp.json").status == 404

    world.write(lambda uow: uow.tuf.add_root(world.acme.factory.id, 3, b'{"production":3}', production=True))

    world.await_(lambda: device.get("3.root.json").body == b'{"production":3}')
    assert Fetcher(world, world.device("tuf-6")).get("3.root.json").status == 404


def test_strangers_get_none(world: GatewayWorld) -> None:
    assert Device().get(world.address, "/repo/1.root.json").status == 403
