"""Changes of trust and devices act on what is connected, at once and in every worker."""

import dataclasses
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ownroot.clock import utc_now
from ownroot.pki.encoding import spki_sha256
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind
from ownroot.trust.state import Standing
from tests.support.certificates import Pair, device_ca, gateway_tls
from tests.support.gateway_world import GatewayWorld, gateway_world, local_ca, seal_tls_key
from tests.support.tls_device import Device, ask, is_closed_by_peer

CUT_SECONDS = 1.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path_factory.mktemp("gateway"), workers=2) as running:
        yield running


@pytest.fixture
def connections(world: GatewayWorld) -> Iterator["Connections"]:
    with ExitStack() as stack:
        yield Connections(world, stack)


class Connections:
    """Opens so many connections that both workers hold some: the kernel deals them out by source port."""

    def __init__(self, world: GatewayWorld, stack: ExitStack) -> None:
        self._world = world
        self._stack = stack

    def on_both_workers(self, identity: Pair) -> list[ssl.SSLSocket]:
        return [self._one(identity) for _ in range(12)]

    def _one(self, identity: Pair) -> ssl.SSLSocket:
        connection = self._stack.enter_context(Device(identity=identity).connect(self._world.address))
        assert ask(connection).status == 200
        return connection


def assert_cut(connections: list[ssl.SSLSocket], since: float) -> None:
    assert all(is_closed_by_peer(connection) for connection in connections)
    assert time.monotonic() - since < CUT_SECONDS


def test_deleted_device_is_cut_on_both_workers_and_stays_out(world: GatewayWorld, connections: Connections) -> None:
    device, neighbour = world.device("deleted"), world.device("kept")
    held, others = connections.on_both_workers(device), connections.on_both_workers(neighbour)
    since = time.monotonic()
    world.delete("deleted")
    assert_cut(held, since)
    reply = Device(identity=device).get(world.address)
    assert (reply.status, reply.text.partition(":")[0]) == (403, "device-denied")
    assert [ask(connection).status for connection in others] == [200] * len(others)


def test_device_whose_ca_is_removed_is_cut(world: GatewayWorld, connections: Connections) -> None:
    other_ca = device_ca(world.acme.root, now=utc_now())
    before = world.acme.pki.device_cas
    world.change_pki(world.acme, device_cas=(*before, local_ca(other_ca)))
    device, neighbour = world.device("orphan", ca=other_ca), world.device("rooted")
    world.await_(lambda: Device(identity=device).get(world.address).status == 200)
    world.await_(lambda: all(Device(identity=device).get(world.address).status == 200 for _ in range(8)))
    held, others = connections.on_both_workers(device), connections.on_both_workers(neighbour)
    since = time.monotonic()
    world.change_pki(world.acme, device_cas=before)
    assert_cut(held, since)
    assert Device(identity=device).get(world.address).text.startswith("device-ca-unknown: ")
    assert [ask(connection).status for connection in others] == [200] * len(others)


def test_time_to_revoke_is_measured_by_the_workers_that_had_something_to_cut(
    world: GatewayWorld, connections: Connections
) -> None:
    other_ca = device_ca(world.acme.root, now=utc_now())
    before = world.acme.pki.device_cas
    world.change_pki(world.acme, device_cas=(*before, local_ca(other_ca)))
    device = world.device("measured", ca=other_ca)
    world.await_(lambda: all(Device(identity=device).get(world.address).status == 200 for _ in range(8)))
    held = connections.on_both_workers(device)
    counted = revocations_measured(world)
    world.change_pki(world.acme, device_cas=before)
    assert_cut(held, time.monotonic())
    world.await_(lambda: revocations_measured(world) == counted + 2)


def revocations_measured(world: GatewayWorld) -> float:
    name = "ownroot_gateway_time_to_revoke_seconds_count "
    pages = [world.admin("/metrics", worker)[1] for worker in range(2)]
    return sum(float(line[len(name) :]) for page in pages for line in page.splitlines() if line.startswith(name))


def test_disabled_ca_refuses_new_device_but_serves_known_ones(world: GatewayWorld, connections: Connections) -> None:
    known = world.device("known-before")
    held = connections.on_both_workers(known)
    world.set_standing(world.acme, Standing.DISABLED)
    try:
        reply = Device(identity=world.device("new-after")).get(world.address)
        assert (reply.status, reply.text.partition(":")[0]) == (403, "device-ca-disabled")
        assert [ask(connection).status for connection in held] == [200] * len(held)
        assert Device(identity=known).get(world.address).status == 200
    finally:
        world.set_standing(world.acme, Standing.ENABLED)
    world.await_(lambda: Device(identity=world.device("new-again")).get(world.address).status == 200)


def test_disable_that_no_worker_has_heard_of_yet_already_refuses_new_devices(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # A worker that polls once an hour: only the check inside the write transaction can know.
    with gateway_world(tmp_path_factory.mktemp("deaf"), poll_interval_ms=3_600_000) as deaf:
        assert Device(identity=deaf.device("before")).get(deaf.address).status == 200
        deaf.set_standing(deaf.acme, Standing.DISABLED)
        reply = Device(identity=deaf.device("after")).get(deaf.address)
        assert (reply.status, reply.text.partition(":")[0]) == (403, "device-ca-disabled")
        assert deaf.stored("after") is None


def test_new_pinned_key_cuts_connections_of_the_old_one(world: GatewayWorld, connections: Connections) -> None:
    old, new = world.device("rekeyed"), world.device("rekeyed")
    held = connections.on_both_workers(old)
    stored = world.stored("rekeyed")
    assert stored is not None
    key = spki_sha256(new.ec_key.public_key())
    since = time.monotonic()

    def work(uow: UnitOfWork) -> None:
        uow.devices.replace_key(dataclasses.replace(stored, spki_sha256=key))
        uow.changes.announce(ChangeKind.DEVICE, stored.factory_id, stored.uuid)

    world.write(work)
    assert_cut(held, since)
    assert Device(identity=new).get(world.address).status == 200
    assert Device(identity=old).get(world.address).text.startswith("device-key-mismatch: ")


def test_announced_next_key_is_promoted_and_the_old_one_refused(world: GatewayWorld, connections: Connections) -> None:
    old, new = world.device("renewing"), world.device("renewing")
    held = connections.on_both_workers(old)
    stored = world.stored("renewing")
    assert stored is not None
    announced = dataclasses.replace(stored, next_spki_sha256=spki_sha256(new.ec_key.public_key()))
    world.write(lambda uow: uow.devices.replace_key(announced))
    assert [ask(connection).status for connection in held] == [200] * len(held)
    since = time.monotonic()
    assert Device(identity=new).get(world.address).status == 200
    assert_cut(held, since)
    assert Device(identity=old).get(world.address).text.startswith("device-key-replaced: ")
    promoted = world.stored("renewing")
    assert promoted is not None
    assert (promoted.spki_sha256, promoted.next_spki_sha256) == (announced.next_spki_sha256, None)


def test_unrelated_change_of_a_device_leaves_its_connections_alone(
    world: GatewayWorld, connections: Connections
) -> None:
    held = connections.on_both_workers(world.device("touched"))
    stored = world.stored("touched")
    assert stored is not None
    world.write(lambda uow: uow.changes.announce(ChangeKind.DEVICE, stored.factory_id, stored.uuid))
    assert [ask(connection).status for connection in held] == [200] * len(held)
    since = time.monotonic()
    world.delete("touched")
    assert_cut(held, since)


def test_new_gateway_certificate_is_served_without_restart(world: GatewayWorld) -> None:
    third = world.add_factory("third")
    tls = gateway_tls(third.root, "third", now=utc_now(), dns_names=("third.gw.example",))
    device = Device(identity=third.device("dev-3"), root=third.root, server_name="third.gw.example")
    world.await_(lambda: shows(device, world.address, third.pki.gateway_tls))
    world.write(lambda uow: uow.keys.add_active(third.factory.id, seal_tls_key(tls)))
    world.change_pki(third, gateway_tls=tls.certificate)
    world.await_(lambda: shows(device, world.address, tls.certificate))


def shows(device: Device, address: tuple[str, int], certificate: object) -> bool:
    from cryptography import x509

    try:
        with device.connect(address) as connection:
            der = connection.getpeercert(binary_form=True)
            return der is not None and x509.load_der_x509_certificate(der) == certificate
    except ssl.SSLError:
        return False


def test_factory_whose_certificate_expired_is_closed_and_the_others_go_on(world: GatewayWorld) -> None:
    late = world.add_factory("late")
    tls = gateway_tls(
        late.root, "late", now=utc_now().replace(year=utc_now().year - 11), dns_names=("late.gw.example",)
    )
    world.write(lambda uow: uow.keys.add_active(late.factory.id, seal_tls_key(tls)))
    world.change_pki(late, gateway_tls=tls.certificate)
    device = Device(identity=late.device("dev-l"), server_name="late.gw.example")
    world.await_(lambda: fails(device, world.address))
    assert Device(identity=world.device("timely"), server_name="gw.example").get(world.address).status == 200


def fails(device: Device, address: tuple[str, int]) -> bool:
    try:
        device.get(address)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def test_take_over_cuts_devices_of_the_shared_pki_and_claims_their_uuids(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with gateway_world(tmp_path_factory.mktemp("take-over"), shared=True) as world:
        old = world.device("moved", ca=world.shared_ca)
        with Device(identity=old, root=world.shared_root, server_name="gw.example").connect(world.address) as held:
            assert ask(held, Host="gw.example").status == 200
            since = time.monotonic()
            world.take_over()
            assert_cut([held], since)
        mine = world.device("moved")
        assert Device(identity=mine, root=world.acme.root, server_name="gw.example").get(world.address).status == 200
        assert Device(identity=old).get(world.address).text.startswith("device-ca-unknown: ")
        assert Device(identity=world.device("moved")).get(world.address).text.startswith("device-key-mismatch: ")
