"""Real gateway workers, each a process of its own, over a real database; the test plays the backend.

with gateway_world(tmp_path) as world:
    reply = Device(identity=world.device("dev-1")).get(world.address)
    world.delete("dev-1")
"""

import dataclasses
import http.client
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

import structlog
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ownroot.clock import utc_now
from ownroot.gateway.settings import GatewaySettings
from ownroot.gateway.worker import WorkerReport, run_worker
from ownroot.keystore.sealing import Sealer
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.names import DeviceUuid, FactoryName
from ownroot.services.backend_keys import Keyring
from ownroot.services.config_vault import ConfigVault
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, DeniedDevice, Device, Factory, SealedKey, SealedKeyPurpose
from ownroot.storage import SqlDatabase, open_database
from ownroot.trust.state import DeviceCa, FactoryPki, Holder, Standing
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, gateway_tls

T = TypeVar("T")
OWNER_ID = "5f0c1d2e3a4b5c6d7e8f9012"
BASE_NAME = "gw.example"
_SEALING_KEY = bytes(range(32))
_WORKER_PURPOSES = (SealedKeyPurpose.GATEWAY_TLS, SealedKeyPurpose.DEVICE_CONFIG)
_START_SECONDS = 30.0
VAULT = ConfigVault(Keyring({SealedKeyPurpose.DEVICE_CONFIG: Sealer(_SEALING_KEY)}))


@dataclass(slots=True)
class FactoryWorld:
    """One taken-over factory with a local device CA, and the backend's view of it."""

    factory: Factory
    root: Pair
    ca: Pair
    pki: FactoryPki

    def device(self, uuid: str = "dev-1", **odd: Any) -> Pair:
        """Make a device's certificate under the factory's CA."""
        now = odd.pop("now", utc_now())
        return device_certificate(odd.pop("ca", self.ca), uuid, odd.pop("factory", self.factory.name), now=now, **odd)


@dataclass(slots=True)
class GatewayWorld:
    """A database and the workers that serve from it; `address` is the port they share.

    `acme` is the default factory. In a world made with `shared=True` it lives on the shared PKI until `take_over`.
    """

    database: SqlDatabase
    database_url: str
    acme: FactoryWorld
    shared_root: Pair
    shared_ca: Pair
    address: tuple[str, int] = ("", 0)
    reports: list[WorkerReport] = field(default_factory=list)
    processes: list[SpawnProcess] = field(default_factory=list)

    def device(self, uuid: str = "dev-1", **odd: Any) -> Pair:
        """Make a certificate of a device of the default factory."""
        return self.acme.device(uuid, **odd)

    def write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Commit one piece of work as another process would."""
        return self.database.write(work).result(10)

    def stored(self, uuid: str, factory: FactoryWorld | None = None) -> Device | None:
        """Return what is stored of a device."""
        factory_id = (factory or self.acme).factory.id
        return self.database.read(lambda uow: uow.devices.find(factory_id, uuid))

    def refusal_codes(self, factory: FactoryWorld | None = None) -> set[str]:
        """Return the codes of the refusals stored so far."""
        factory_id = (factory or self.acme).factory.id
        return {refusal.code for refusal in self.database.read(lambda uow: uow.refusals.list(factory_id))}

    def admin(self, path: str, worker: int = 0) -> tuple[int, str]:
        """Ask a worker's admin port; returns status and body."""
        address = self.reports[worker].admin
        assert address is not None
        connection = http.client.HTTPConnection(*address, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def delete(self, uuid: str) -> None:
        """Delete a device and deny its uuid, as the API does."""

        def work(uow: UnitOfWork) -> None:
            factory_id = self.acme.factory.id
            known = uow.devices.find(factory_id, uuid)
            assert known is not None
            uow.devices.delete(factory_id, uuid)
            uow.devices.deny(
                DeniedDevice(factory_id, known.uuid, known.name, known.owner, known.spki_sha256, utc_now(), OWNER_ID)
            )
            uow.changes.announce(ChangeKind.DEVICE, factory_id, DeviceUuid(uuid))

        self.write(work)

    def change_pki(self, world: FactoryWorld, **changes: Any) -> None:
        """Replace parts of a factory's trust and announce it."""
        world.pki = dataclasses.replace(world.pki, **changes)

        def work(uow: UnitOfWork) -> None:
            uow.pki.save(world.factory.id, world.pki, by=OWNER_ID, now=utc_now())
            uow.changes.announce(ChangeKind.TRUST, world.factory.id)

        self.write(work)

    def take_over(self) -> None:
        """Let acme's owner take over; the world's `acme.pki` counts from now on."""
        self.change_pki(self.acme)

    def set_standing(self, world: FactoryWorld, standing: Standing) -> None:
        """Enable or disable every device CA of a factory."""
        cas = tuple(dataclasses.replace(ca, standing=standing) for ca in world.pki.device_cas)
        self.change_pki(world, device_cas=cas)

    def add_factory(self, name: str, *, is_default: bool = False) -> FactoryWorld:
        """Make a factory that has been taken over."""
        return _add_factory(self.database, name, is_default=is_default)

    def await_(self, condition: Callable[[], object], seconds: float = 8.0) -> None:
        """Wait for something that other processes do in their own time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)


@contextmanager
def gateway_world(
    database_url: Path | str, *, workers: int = 1, shared: bool = False, **settings: Any
) -> Iterator[GatewayWorld]:
    """Run workers until the block ends, and check that SIGTERM ends each of them with status 0.

    Args:
        database_url: a folder for a new SQLite database, or the address of an empty one on PostgreSQL.
        shared: acme lives on the shared PKI until `take_over`.
        settings: of the workers, by their names in `GatewaySettings`.
    """
    with idle_world(database_url, shared=shared) as world:
        context = multiprocessing.get_context("spawn")
        try:
            port = 0
            for number in range(workers):
                asked = GatewaySettings(host="127.0.0.1", port=port, worker=number, admin_port=0, **settings)
                world.reports.append(_start(context, world, asked))
                world.address = world.reports[-1].address
                port = world.address[1]
            yield world
        finally:
            _stop(world.processes)


def _start(context: SpawnContext, world: GatewayWorld, settings: GatewaySettings) -> WorkerReport:
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(world.database_url, settings, theirs), daemon=True)
    process.start()
    world.processes.append(process)
    theirs.close()
    assert ours.poll(_START_SECONDS), "the worker did not start"
    report: WorkerReport = ours.recv()
    return report


@contextmanager
def idle_world(database_url: Path | str, *, shared: bool = False) -> Iterator[GatewayWorld]:
    """Make the database and its factory without any worker."""
    url = str(database_url / "gateway.db") if isinstance(database_url, Path) else database_url
    database = open_database(url)
    shared_root = factory_root("shared", now=utc_now())
    shared_ca = device_ca(shared_root, "shared online CA", "shared", now=utc_now())
    _save_shared(database, shared_root, shared_ca)
    acme = _add_factory(database, "acme", is_default=True, lives_on=shared_root if shared else None)
    try:
        yield GatewayWorld(database, url, acme, shared_root, shared_ca)
    finally:
        database.close()


def serve(database_url: str, settings: GatewaySettings, ready: Connection) -> None:
    """Run one worker; the entry of its process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    database = open_database(database_url)
    keyring = Keyring({purpose: Sealer(_SEALING_KEY) for purpose in _WORKER_PURPOSES})
    try:
        status = run_worker(
            settings,
            database=database,
            open_key=keyring.open,
            config_vault=ConfigVault(keyring),
            clock=utc_now,
            ready=ready.send,
        )
    finally:
        database.close()
    raise SystemExit(status)


def seal_tls_key(pair: Pair) -> SealedKey:
    """Seal a gateway TLS key as the backend would have."""
    spki = spki_sha256(pair.ec_key.public_key())
    der = pair.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    sealed = Sealer(_SEALING_KEY).seal(der, bound_to=b"private-key:gateway-tls:" + spki)
    return SealedKey(spki, SealedKeyPurpose.GATEWAY_TLS, sealed)


def local_ca(pair: Pair) -> DeviceCa:
    """Trust a CA whose key the owner holds."""
    return DeviceCa(pair.certificate, Holder.LOCAL, Standing.ENABLED, OWNER_ID, OWNER_ID, signs=False)


def _save_shared(database: SqlDatabase, root: Pair, ca: Pair) -> None:
    online = DeviceCa(ca.certificate, Holder.ONLINE, Standing.ENABLED, None, "server", signs=True)
    pki = FactoryPki(FactoryName("shared"), root.certificate, device_cas=(online,))
    database.write(lambda uow: uow.pki.save(None, pki, by="server", now=utc_now())).result(10)


def _add_factory(database: SqlDatabase, name: str, *, is_default: bool, lives_on: Pair | None = None) -> FactoryWorld:
    now = utc_now()
    gateway_name = BASE_NAME if is_default else f"{name}.{BASE_NAME}"
    names = (gateway_name, f"ostree.{gateway_name}")
    root = factory_root(name, now=now)
    ca = device_ca(root, factory=name, now=now)
    tls = gateway_tls(root, name, now=now, dns_names=names)
    pki = FactoryPki(FactoryName(name), root.certificate, tls.certificate, tls.certificate, device_cas=(local_ca(ca),))

    def work(uow: UnitOfWork) -> Factory:
        made = uow.factories.add(FactoryName(name), gateway_name=gateway_name, is_default=is_default, now=now)
        uow.keys.add_active(made.id, seal_tls_key(tls))
        if lives_on is None:
            uow.pki.save(made.id, pki, by=OWNER_ID, now=now)
        else:
            shared_tls = gateway_tls(lives_on, name, now=now, dns_names=names)
            uow.keys.add_active(made.id, seal_tls_key(shared_tls))
            uow.pki.set_shared_tls(made.id, shared_tls.der)
        uow.changes.announce(ChangeKind.FACTORY, made.id)
        return made

    return FactoryWorld(database.write(work).result(10), root, ca, pki)


def _stop(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGTERM)
    for process in processes:
        process.join(10)
        if process.exitcode is None:
            process.kill()
        assert process.exitcode == 0, f"a worker ended with {process.exitcode}"
