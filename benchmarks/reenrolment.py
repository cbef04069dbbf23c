"""Certificates renewed by EST at the gateway, against the bare loop of the library that does the cryptography.

The bare loop is that of `benchmarks.issue_certificates`: parse a CSR, verify it, sign, write PEM. A renewal does that
and everything else besides: HTTP, the client certificate identified a second time at the issuing desk, the hop between
the two processes, lint, two durable commits. Twice measured: over connections that are open already, and with a full
handshake for each, as devices of the field do it.
"""

import base64
import multiprocessing
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from benchmarks.fleet import GATEWAY_NAME, Device, Server, register_devices, running_server
from benchmarks.issue_certificates import bare_rate
from benchmarks.processes import LOAD_CORE, cpu_seconds, on_core
from benchmarks.report import Section, markdown_table, verdict
from benchmarks.tls_load import Target, client_context, connect

BAR = 0.25
ROUNDS, PROCESSES = 3, 16
DEVICES, RENEWALS = 320, 5  # of one round; a device has six turns before it must wait
PATH = "/.well-known/est/simplereenroll"
OPEN, HANDSHAKES = "connection is open", "full handshake for each"

METHOD = f"""\
All that `ownroot serve` starts with one gateway worker shares one core, the load has another. {DEVICES} devices a
round, each renews {RENEWALS} times with a new key each time, {PROCESSES} at once; CSRs are made beforehand. Connections
are opened before the clock starts in the one row, and are part of it in the other. One core of load cannot always fill
the server's, so the ratio compares renewals per second of *used* CPU with the bare loop, which runs on the server's
core while the server idles. Every answer must hold another certificate; {ROUNDS} rounds, medians."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of load."""

    per_second: float
    per_core_second: float
    p99_ms: float


def measure() -> Section:
    """Run the whole benchmark.

    Raises:
        RuntimeError: a renewal failed, or two devices got the same certificate.
    """
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name, running_server(Path(name)) as server:
        folder, bare = Path(name), statistics.median(bare_rate(2.0) for _ in range(ROUNDS))
        rounds: dict[str, list[Round]] = {OPEN: [], HANDSHAKES: []}
        for _ in range(ROUNDS):
            for kind, own in rounds.items():
                devices, _, _ = register_devices(server, DEVICES, folder)
                own.append(_run(server, devices, keep_open=kind == OPEN))
    return _section(rounds, bare)


def renewal_request(device: Device) -> bytes:
    """Write one renewal of a device, over a key made for it and thrown away."""
    current = x509.load_pem_x509_certificate(device.certificate.read_bytes())
    builder = x509.CertificateSigningRequestBuilder().subject_name(current.subject)
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    body = base64.b64encode(csr.public_bytes(Encoding.DER))
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {GATEWAY_NAME}\r\nContent-Type: application/pkcs10\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read_whole_answer(connection: SSL.Connection) -> tuple[int, bytes, bytes]:
    """Read one answer: status, head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, end, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head[9:12]), head + end, body


def _run(server: Server, devices: list[Device], *, keep_open: bool) -> Round:
    with _load(server.gateway_port, devices, keep_open=keep_open) as pipes:
        used, started = cpu_seconds(server.processes()), perf_counter()
        for pipe in pipes:
            pipe.send(True)
        answers = [answer for pipe in pipes for answer in pipe.recv()]
        used, took = cpu_seconds(server.processes()) - used, perf_counter() - started
    bodies = {body for _, body in answers}
    if len(bodies) != len(devices) * RENEWALS:
        raise RuntimeError(f"{len(devices) * RENEWALS} renewals got {len(bodies)} different certificates")
    slowest = sorted(seconds for seconds, _ in answers)[int(len(answers) * 0.99)]
    return Round(len(answers) / took, len(answers) / used, slowest * 1000)


@contextmanager
def _load(port: int, devices: list[Device], *, keep_open: bool) -> Iterator[list[Connection]]:
    """Start processes that stand ready to renew their share of the devices."""
    spawn = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    with on_core(LOAD_CORE):
        for index in range(PROCESSES):
            ours, theirs = spawn.Pipe()
            share = devices[index::PROCESSES]
            worker = spawn.Process(target=_work, args=(theirs, port, share, keep_open), daemon=True)
            worker.start()
            theirs.close()
            pipes.append(ours)
            workers.append(worker)
    for pipe in pipes:
        pipe.recv()
    try:
        yield pipes
    finally:
        for worker in workers:
            worker.join(30)


def _work(pipe: Connection, port: int, devices: list[Device], keep_open: bool) -> None:
    target = Target(port, GATEWAY_NAME)
    contexts = [client_context(device) for device in devices]
    requests = [(number, renewal_request(device)) for _ in range(RENEWALS) for number, device in enumerate(devices)]
    held = [connect(context, target) for context in contexts] if keep_open else []
    pipe.send("ready")
    pipe.recv()
    answers = []
    for number, text in requests:
        started = perf_counter()
        raw, connection = held[number] if keep_open else connect(contexts[number], target)
        connection.sendall(text)
        status, _, body = read_whole_answer(connection)
        if status != 200:
            raise RuntimeError(f"a renewal was answered {status}: {body.decode()}")
        answers.append((perf_counter() - started, body))
        if not keep_open:
            raw.close()
    pipe.send(answers)


def _section(rounds: dict[str, list[Round]], bare: float) -> Section:
    rows, ratios = [("bare parse, verify, sign loop", f"{bare:,.0f}", f"{bare:,.0f}", "", "1.00")], {}
    for name, own in rounds.items():
        per_core = statistics.median(one.per_core_second for one in own)
        ratios[name] = per_core / bare
        rate = statistics.median(one.per_second for one in own)
        p99 = statistics.median(one.p99_ms for one in own)
        rows.append((f"renewal, {name}", f"{rate:,.0f}", f"{per_core:,.0f}", f"{p99:.1f}", f"{ratios[name]:.2f}"))
    ratio = ratios[OPEN]
    return Section(
        "Certificates renewed by EST",
        METHOD,
        markdown_table(("", "per second", "per CPU second", "p99 ms", "ratio"), rows),
        verdict("renewal over an open connection / bare loop", f"{ratio:.2f}", f"{BAR}", met=ratio >= BAR),
    )
