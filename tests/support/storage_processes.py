"""What other processes do to a database in the tests; each function is the body of one."""

import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, Final

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import ConflictError, UnavailableError
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import ChangeKind, Device, Factory
from ownroot.storage import open_database
from tests.support.stored_values import NOW, a_device, an_event, sha256

SPAWN: Final = multiprocessing.get_context("spawn")


@contextmanager
def running(body: Any, *arguments: Any) -> Iterator[BaseProcess]:
    """Run a body in a process of its own, and make sure that it ends with the test."""
    process = SPAWN.Process(target=body, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def open_together(address: str, start: Barrier, answer: Connection) -> None:
    """Open an empty database at the same moment as others; answers with its generation."""
    start.wait()
    database = open_database(address)
    answer.send(database.read(lambda uow: uow.changes.generation()))
    database.close()


def race_for_uuids(address: str, factory: Factory, count: int, start: Barrier, answer: Connection) -> None:
    """Register the uuids everyone wants, with a key and names of its own; answers with those it got."""
    database = open_database(address)
    start.wait()
    won: list[str] = []
    for number in range(count):
        uuid, rival = f"dev-{number}", SPAWN.current_process().name
        device = a_device(factory, uuid, name=f"{rival}-{number}", spki_sha256=sha256(f"{rival} {number}"))
        refused = database.write(_registration(device)).exception()
        if refused is None:
            won.append(uuid)
        elif not isinstance(refused, ConflictError) or refused.code != "device-uuid-taken":
            raise refused
    answer.send(won)
    database.close()


def register_for_ever(address: str, factory: Factory, answer: Connection) -> None:
    """Register devices, several in a commit, and tell each one that was committed, until killed."""
    database = open_database(address)
    for first in itertools.count(step=8):
        uuids = [f"dev-{number}" for number in range(first, first + 8)]
        for uuid, future in [(uuid, database.write(_registration(a_device(factory, uuid)))) for uuid in uuids]:
            future.result()
            answer.send(uuid)


def write_back_to_back(address: str, factory: Factory, started: Connection) -> None:
    """Keep a writer busy all the time, until killed."""
    database = open_database(address)
    started.send("opened")
    while True:
        futures = [database.write(lambda uow: uow.audit.append(an_event(factory, "busy"))) for _ in range(20)]
        for future in futures:
            future.result()


def hold_a_transaction(address: str, entered: Connection) -> None:
    """Stay inside a write until killed."""
    database = open_database(address)

    def stay(uow: UnitOfWork) -> None:
        entered.send("inside")
        SPAWN.Event().wait()

    database.write(stay).result()


def announce_once(address: str, factory: Factory, answer: Connection) -> None:
    """Announce one change; answers with its generation."""
    database = open_database(address)
    answer.send(database.write(lambda uow: uow.changes.announce(ChangeKind.TRUST, factory.id)).result())
    database.close()


def append_many(address: str, factory: Factory, count: int, answer: Connection) -> None:
    """Append audit events and changes, one commit each; answers with the generations."""
    database = open_database(address)

    def append(uow: UnitOfWork) -> int:
        uow.audit.append(an_event(factory, "one of many"))
        return uow.changes.announce(ChangeKind.DEVICE, factory.id)

    answer.send([_patiently(database, append) for _ in range(count)])
    database.close()


def _registration(device: Device) -> Callable[[UnitOfWork], None]:
    def register(uow: UnitOfWork) -> None:
        uow.devices.add(device)
        uow.audit.append(AuditEvent(device.factory_id, NOW, "test", EventKind.DEVICE_REGISTERED, device.uuid))
        uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)

    return register


def _patiently(database: Database, work: Any) -> Any:
    while True:
        try:
            return database.write(work).result()
        except UnavailableError:
            continue
