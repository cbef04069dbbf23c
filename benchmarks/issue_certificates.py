"""Certificates issued from CSRs over HTTP, against the bare loop of the library that does the cryptography.

Both do the same work on the same core: parse a CSR, verify its signature, sign a certificate, write PEM. The server
does everything else besides: HTTP, JSON, the token, policy, `sota.toml`, and two durable commits before it answers.

Method: the server (the API alone, one process) is pinned to one core, the load to another; every request is a new
device with a key of its own; connections are kept alive and each client waits for its answer before it asks again.
Rounds interleave: bare loop, 8 clients, 32 clients, and again. A ratio compares parts of one round; the median round
is reported. At the end every answered certificate is looked up in the database.

    python -m benchmarks.issue_certificates [--rounds 5] [--seconds 2] [--json FILE]
"""

import argparse
import http.client
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from benchmarks.http_load import Load, run_load

SERVER_CORE, LOAD_CORE = 0, 1
CLIENTS = (8, 32)
BAR, AIM = 0.30, 0.45
FACTORY = "bench"


@dataclass(frozen=True, slots=True)
class Measured:
    """One round at one number of clients; rates per second, latencies in milliseconds."""

    clients: int
    bare_rate: float
    rate: float
    p50_ms: float
    p99_ms: float

    @property
    def ratio(self) -> float:
        """What share of the bare loop's rate the server reached."""
        return self.rate / self.bare_rate


@dataclass(frozen=True, slots=True)
class Target:
    """Where registrations go, and with which token."""

    address: tuple[str, int]
    path: str
    token: str


@dataclass(frozen=True, slots=True)
class Server:
    """A running server with a factory and a token for it."""

    address: tuple[str, int]
    token: str
    data: Path


def measure(rounds: int, seconds: float) -> list[Measured]:
    """Run the whole benchmark.

    Raises:
        RuntimeError: a request failed, or an answered certificate is not in the database.
    """
    results: list[Measured] = []
    answered: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as folder, running_api(Path(folder)) as server:
        pin(LOAD_CORE)
        _load(server, clients=8, seconds=0.5)  # warm: caches, and the key opened
        for _ in range(rounds):
            bare = bare_rate(seconds)
            for clients in CLIENTS:
                load = _load(server, clients=clients, seconds=seconds)
                results.append(
                    Measured(clients, bare, load.rate, load.percentile(0.5) * 1000, load.percentile(0.99) * 1000)
                )
                answered += load.bodies
        require_recorded(server, answered)
    return results


def bare_rate(seconds: float) -> float:
    """Certificates per second of the bare loop on the server's core, while the server idles."""
    pin(LOAD_CORE)
    csrs = [csr.encode() for _, csr in itertools.islice(new_csrs(), 256)]
    pin(SERVER_CORE)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bare")])
    key_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        _issue_bare(csrs[count % len(csrs)], ca_key, issuer, key_identifier)
        count += 1
    pin(LOAD_CORE)
    return count / elapsed


def new_csrs() -> Iterator[tuple[str, str]]:
    """Make devices for ever: uuid and PEM of a CSR, each with a key of its own."""
    while True:
        name = str(uuid.uuid4())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, name),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, FACTORY),
            ]
        )
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        yield name, csr.public_bytes(Encoding.PEM).decode()


@contextmanager
def running_api(data: Path, *database: str) -> Iterator[Server]:
    """Start the API alone on the server's core, with a factory on the shared PKI.

    Args:
        database: `--database` with an address; without it SQLite in the directory.
    """
    program = str(Path(sys.executable).with_name("ownroot"))
    pin(SERVER_CORE)
    log = (data / "server.log").open("wb")
    options = ["--data", str(data), *database, "--gateway-name", "gateway.localhost"]
    process = subprocess.Popen([program, "serve", "api", *options, "--api", "127.0.0.1:0"], stdout=log, stderr=log)
    pin(LOAD_CORE)
    try:
        port = _wait_for_port(process, data)
        made = subprocess.run(
            [program, "factory", "create", FACTORY, "--data", str(data), *database, "--json"],
            check=True,
            capture_output=True,
        )
        yield Server(("127.0.0.1", port), json.loads(made.stdout)["token"], data)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()


def require_recorded(server: Server, bodies: list[bytes]) -> None:
    """Demand that every answer was another certificate and that the server still knows as many devices."""
    answered = len({json.loads(body)["client.pem"] for body in bodies})
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    connection.request("GET", "/ota/devices/?limit=1", headers={"OSF-TOKEN": server.token})
    total = json.load(connection.getresponse())["total"]
    connection.close()
    if answered != len(bodies) or total < answered:
        raise RuntimeError(f"{len(bodies)} answers, {answered} different certificates, {total} devices on record")


def table(results: list[Measured]) -> str:
    """Return the median round for each number of clients as rows of a Markdown table."""
    rows = [
        "| clients | bare loop /s | issued /s | ratio | bar | aim | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for clients in CLIENTS:
        rounds = sorted((r for r in results if r.clients == clients), key=lambda measured: measured.ratio)
        middle = rounds[len(rounds) // 2]
        rows.append(
            f"| {clients} | {middle.bare_rate:.0f} | {middle.rate:.0f} | {middle.ratio:.2f} | {BAR:.2f} | {AIM:.2f} "
            f"| {middle.p50_ms:.1f} | {middle.p99_ms:.1f} |"
        )
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, write the JSON; 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description="certificates per second over HTTP / bare loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    results = measure(chosen.rounds, chosen.seconds)
    print(table(results))
    if chosen.json is not None:
        document = [{**asdict(result), "ratio": result.ratio} for result in results]
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")
    worst = min(statistics.median(r.ratio for r in results if r.clients == clients) for clients in CLIENTS)
    return 0 if worst >= BAR else 1


def _load(server: Server, *, clients: int, seconds: float) -> Load:
    count = int(seconds * 4000) + clients
    target = Target(server.address, "/ota/devices/", server.token)
    requests = [registration_request(target, *csr) for csr in itertools.islice(new_csrs(), count)]
    load = run_load(server.address, iter(requests), clients=clients, seconds=seconds)
    if set(load.statuses) != {201}:
        raise RuntimeError(f"not every request was answered 201: {dict(load.statuses)}")
    return load


def registration_request(target: Target, device: str, csr: str) -> bytes:
    """Write a registration as devices of the field send it, overrides included."""
    overrides = {
        "type": '"ostree+compose_apps"',
        "compose_apps_root": '"/var/sota/compose-apps"',
        "reset_apps_root": '"/var/sota/reset-apps"',
        "reset_apps": '" "',
        "tags": '"main"',
    }
    body = json.dumps(
        {
            "use-ostree-server": "true",
            "sota-config-dir": "/var/sota",
            "hardware-id": "intel-corei7-64",
            "name": device,
            "uuid": device,
            "csr": csr,
            "overrides": {"pacman": overrides},
        }
    ).encode()
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.address[0]}:{target.address[1]}\r\nAccept: */*\r\n"
        f"Content-type: application/json\r\nOSF-TOKEN: {target.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _issue_bare(
    pem: bytes, ca_key: ec.EllipticCurvePrivateKey, issuer: x509.Name, key_identifier: x509.AuthorityKeyIdentifier
) -> bytes:
    csr = x509.load_pem_x509_csr(pem)
    if not csr.is_signature_valid:
        raise RuntimeError("a CSR made here does not verify")
    key, now = csr.public_key(), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=7300))
        .add_extension(_DIGITAL_SIGNATURE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(key_identifier, critical=False)
    )
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _wait_for_port(process: subprocess.Popen[bytes], data: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"api listening on http://127\.0\.0\.1:(\d+)", (data / "server.log").read_text())
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError("the server did not start:\n" + (data / "server.log").read_text())


def pin(core: int) -> None:
    """Let this process run on one core only, and what it starts from now on."""
    os.sched_setaffinity(0, {core})


_DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)

if __name__ == "__main__":
    sys.exit(main())
