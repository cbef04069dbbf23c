"""A whole fleet that renews within a minute: who is turned away, and whether a certificate is lost or made twice.

Devices come all at once, in no order, each with a full handshake of its own. Whoever hears 429 or 503 waits as long as
it is told and comes again; any other refusal ends the measurement. Afterwards the log of issuances must hold one
renewed certificate for each device, the one it was given, and nothing half done.
"""

import base64
import multiprocessing
import re
import sqlite3
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from OpenSSL import SSL

from benchmarks.fleet import GATEWAY_NAME, Device, Server, register_devices, running_server
from benchmarks.processes import LOAD_CORE, on_core
from benchmarks.reenrolment import read_whole_answer, renewal_request
from benchmarks.report import Section, markdown_table, verdict
from benchmarks.tls_load import Target, client_context, connect

DEVICES, WORKERS = 10_000, 2
BAR_SECONDS = 60.0
PROCESSES, AT_ONCE = 8, 128
PATIENCE_SECONDS = 240.0
_RETRY_AFTER = re.compile(rb"\r\nretry-after: (\d+)\r\n", re.IGNORECASE)

METHOD = f"""\
{DEVICES:,} registered devices renew by EST, {PROCESSES * AT_ONCE:,} at a time, each over a connection of its own. All
that `ownroot serve` starts with {WORKERS} gateway workers shares one core, the fleet has the other. A device that hears
429 or 503 comes again after its `Retry-After`. Afterwards the database is read: one certificate for each device, the
one that it was given, and no intent left open."""


@dataclass(slots=True)
class Outcome:
    """What a part of the fleet saw. `certificates`: DER, one for each device; `statuses` counts every answer."""

    certificates: list[bytes] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def measure() -> Section:
    """Let the storm come.

    Raises:
        RuntimeError: a device was refused for good, got no certificate in time, or another than is on record.
    """
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name:
        folder = Path(name)
        with running_server(folder, workers=WORKERS) as server:
            devices = _register(server, folder)
            seconds, outcome = _storm(server, devices)
        require_all_recorded(folder / "data" / "ownroot.db", outcome)
    rows = [(str(status), f"{count:,}") for status, count in sorted(outcome.statuses.items())]
    return Section(
        "A storm of renewals",
        METHOD,
        markdown_table(("answer", "times"), [*rows, ("certificates on record", f"{len(outcome.certificates):,}")]),
        verdict(
            f"{DEVICES:,} devices renewed, none lost",
            f"{seconds:.0f} s",
            f"{BAR_SECONDS:.0f} s",
            met=seconds <= BAR_SECONDS,
        ),
    )


def require_all_recorded(database: Path, outcome: Outcome) -> None:
    """Demand that what is on record is what was handed out, and that nothing is half done."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT state, certificate_der FROM issuances WHERE profile = 'device-renewal'"
        ).fetchall()
    recorded = sorted(der for state, der in rows if state == 1)
    if recorded != sorted(outcome.certificates) or any(state == 0 for state, _ in rows):
        raise RuntimeError(f"{len(outcome.certificates)} certificates handed out, {len(recorded)} on record")


def _register(server: Server, folder: Path) -> list[Device]:
    share = DEVICES // PROCESSES
    with ThreadPoolExecutor(PROCESSES) as pool:
        parts = pool.map(lambda _: register_devices(server, share, folder)[0], range(PROCESSES))
    return [device for part in parts for device in part]


def _storm(server: Server, devices: list[Device]) -> tuple[float, Outcome]:
    spawn = multiprocessing.get_context("spawn")
    pipes = []
    with on_core(LOAD_CORE):
        for index in range(PROCESSES):
            ours, theirs = spawn.Pipe()
            share = devices[index::PROCESSES]
            spawn.Process(target=_fleet, args=(theirs, server.gateway_port, share), daemon=True).start()
            theirs.close()
            pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    started, total = time.perf_counter(), Outcome()
    for pipe in pipes:
        pipe.send("now")
    for pipe in pipes:
        part: Outcome = pipe.recv()
        total.certificates += part.certificates
        total.statuses += part.statuses
    return time.perf_counter() - started, total


def _fleet(pipe: Connection, port: int, devices: list[Device]) -> None:
    target, outcome = Target(port, GATEWAY_NAME), Outcome()
    ready = [(client_context(device), renewal_request(device)) for device in devices]
    pipe.send("ready")
    pipe.recv()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for statuses, der in pool.map(lambda one: _renew(target, *one), ready):
            outcome.statuses += statuses
            outcome.certificates.append(der)
    pipe.send(outcome)


def _renew(target: Target, context: SSL.Context, text: bytes) -> tuple[Counter[int], bytes]:
    statuses: Counter[int] = Counter()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        raw, connection = connect(context, target)
        connection.sendall(text)
        status, head, body = read_whole_answer(connection)
        raw.close()
        statuses[status] += 1
        if status == 200:
            (certificate,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
            return statuses, certificate.public_bytes(Encoding.DER)
        wait = _RETRY_AFTER.search(head)
        if status not in (429, 503) or wait is None:
            raise RuntimeError(f"a device was answered {status}: {body.decode()}")
        time.sleep(int(wait[1]))
    raise RuntimeError(f"a device got no certificate: {dict(statuses)}")
