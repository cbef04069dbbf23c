"""How long after the API's answer to a revocation the last open connection of its devices is closed."""

import hashlib
import select
import socket
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from OpenSSL import SSL

from benchmarks.fleet import FACTORY, GATEWAY_NAME, Server, running_server
from benchmarks.fleet_owner import FleetOwner
from benchmarks.processes import LOAD_CORE, on_core
from benchmarks.report import Section, markdown_table, verdict
from benchmarks.tls_load import Target, client_context, connect, request
from ownroot.clock import utc_now
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Device
from ownroot.storage import open_database

BAR_SECONDS, AIM_SECONDS = 1.0, 0.15
CONNECTIONS, DEVICES, WORKERS, ROUNDS = 1000, 50, 2, 5
KNOWN = (0, 200_000)
_BATCH = 2000
_PATIENCE_SECONDS = 30.0
METHOD = f"""\
A taken-over factory on a server with {WORKERS} gateway workers. Each round adds a device CA, opens {CONNECTIONS:,}
connections of {DEVICES} of its devices, each after one answered request, and revokes the CA with a signed list over
the API. Measured is the time from the arrival of the API's 200 to the close of each TCP connection as the client's
kernel tells of it. Two servers take turns, {ROUNDS} rounds each: one knows no further devices, the other
{KNOWN[1]:,}. Clients and the owner share one core, each server has the other to itself while it is measured."""


@dataclass(slots=True)
class Contender:
    """One server, what it knows, and what was measured of it."""

    known: int
    server: Server
    owner: FleetOwner
    folder: Path
    closed_after: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    answered_after: list[float] = field(default_factory=list)


def measure() -> Section:
    """Revoke in turns and report the slowest of a hundred closes."""
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name, ExitStack() as stack:
        contenders = [_start(stack, Path(name) / str(known), known) for known in KNOWN]
        with on_core(LOAD_CORE):
            for _ in range(ROUNDS):
                for contender in contenders:
                    _round(contender)
    worst = max(_percentile(contender.closed_after, 99) for contender in contenders)
    head = ("devices known", "close p50", "close p99", "last close (median, worst)", "API's answer (median)")
    return Section(
        "Time to revoke",
        METHOD,
        markdown_table(head, [_row(contender) for contender in contenders]),
        verdict(
            f"revocation to close of {CONNECTIONS:,} connections, p99",
            f"{worst * 1000:.0f} ms",
            f"{BAR_SECONDS * 1000:.0f} ms (aim {AIM_SECONDS * 1000:.0f} ms)",
            met=worst <= BAR_SECONDS,
        ),
    )


def _start(stack: ExitStack, folder: Path, known: int) -> Contender:
    folder.mkdir()
    server = stack.enter_context(running_server(folder, workers=WORKERS))
    owner = FleetOwner(server)
    _add_known_devices(folder / "data" / "ownroot.db", known)
    return Contender(known, server, owner, folder)


def _add_known_devices(path: Path, count: int) -> None:
    database = open_database(path)
    try:
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            database.write(lambda uow, numbers=numbers: _add_devices(uow, numbers)).result(60)  # type: ignore[misc]
    finally:
        database.close()


def _add_devices(uow: UnitOfWork, numbers: range) -> None:
    factory = uow.factories.find(FACTORY)
    assert factory is not None
    now = utc_now()
    for number in numbers:
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        key = hashlib.sha256(name.encode()).digest()
        uow.devices.add(
            Device(
                factory_id=factory.id,
                uuid=DeviceUuid(name),
                name=name,
                owner="0" * 24,
                spki_der=key * 3,
                spki_sha256=key,
                production=False,
                issuer_sha256=key,
                issuer_serial=1,
                created_at=now,
            )
        )


def _round(contender: Contender) -> None:
    ca = contender.owner.add_ca()
    devices = [contender.owner.make_device(ca, str(uuid.uuid4()), contender.folder) for _ in range(DEVICES)]
    contexts = [client_context(device) for device in devices]
    target = Target(contender.server.gateway_port, GATEWAY_NAME)
    time.sleep(0.3)  # until every worker knows the CA
    held = [_visit(contexts[number % DEVICES], target, number) for number in range(CONNECTIONS)]
    with select.epoll() as poll:
        for raw, _ in held:
            poll.register(raw, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
        sent = contender.owner.revoke(ca)
        closes = _await_closes(poll)
    for raw, _ in held:
        raw.close()
    after = [max(0.0, at - sent.answered_at) for at in closes]
    contender.closed_after += after
    contender.slowest.append(max(after))
    contender.answered_after.append(sent.seconds)


def _visit(context: SSL.Context, target: Target, number: int) -> tuple[socket.socket, SSL.Connection]:
    """Open one connection from one of several loopback addresses, since a gateway limits those of one peer."""
    raw, connection = connect(context, target, source=f"127.0.{1 + number // 200}.{1 + number % 200}")
    connection.sendall(request(target, close=False))
    answer = connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"unexpected answer: {answer[:200]!r}")
    return raw, connection


def _await_closes(poll: select.epoll) -> list[float]:
    """Return when each connection was closed.

    Raises:
        RuntimeError: some never were.
    """
    closes: list[float] = []
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while len(closes) < CONNECTIONS:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{CONNECTIONS - len(closes)} connections of a revoked CA are still open")
        for descriptor, _ in poll.poll(1.0):
            poll.unregister(descriptor)
            closes.append(time.perf_counter())
    return closes


def _row(contender: Contender) -> tuple[str, ...]:
    closes = contender.closed_after
    return (
        f"{contender.known:,}",
        _milliseconds(median(closes)),
        _milliseconds(_percentile(closes, 99)),
        f"{_milliseconds(median(contender.slowest))}, {_milliseconds(max(contender.slowest))}",
        _milliseconds(median(contender.answered_after)),
    )


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
