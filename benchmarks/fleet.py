"""A real server on one core, with registered devices that own their keys."""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx2
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from benchmarks.processes import SERVER_CORE, family, on_core

FACTORY = "bench"
GATEWAY_NAME = "gateway.localhost"
READY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Server:
    """A running `ownroot serve`, and a factory on the shared PKI."""

    pid: int
    api_url: str
    gateway_port: int
    token: str

    def processes(self) -> list[int]:
        """List supervisor, API process and gateway worker."""
        return family(self.pid)


@dataclass(frozen=True, slots=True)
class Device:
    """Files of one registered device: certificate and key for the gateway, and what vouches for both ends."""

    uuid: str
    certificate: Path
    key: Path


@contextmanager
def running_server(folder: Path, *, workers: int = 1) -> Iterator[Server]:
    """Start a server on its core and stop it again.

    Raises:
        RuntimeError: it did not come up; the message holds what it printed.
    """
    program = str(Path(sys.executable).with_name("ownroot"))
    data, log = folder / "data", folder / "server.log"
    addresses = ["--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--gateway-name", GATEWAY_NAME]
    addresses += ["--workers", str(workers)]
    with on_core(SERVER_CORE), log.open("wb") as output:
        command = [program, "serve", "--data", str(data), *addresses, "--json-ready"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        ready = _ready_line(process, log)
        made = subprocess.run(
            [program, "factory", "create", FACTORY, "--default", "--data", str(data), "--json"],
            check=True,
            capture_output=True,
        )
        port = int(str(ready["gateway"]).rpartition(":")[2])
        token = json.loads(made.stdout)["token"]
        yield Server(process.pid, str(ready["api"]).rstrip("/"), port, token)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_SECONDS)


def register_devices(server: Server, count: int, folder: Path) -> tuple[list[Device], Path, Path]:
    """Register devices over the API, one after the other.

    Returns: the devices, the trust anchor they were given, and the bundle of the CA that signed them with its root,
        as a server that verifies in TLS wants it.
    """
    devices = []
    for _ in range(count):
        name, key = str(uuid.uuid4()), ec.generate_private_key(ec.SECP256R1())
        answer = _post_registration(server, name, key)
        device = Device(name, folder / f"{name}.crt", folder / f"{name}.key")
        device.certificate.write_text(answer["client.pem"])
        device.key.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        )
        devices.append(device)
    root, bundle = folder / "root.crt", folder / "client-ca.crt"
    issuer = x509.load_pem_x509_certificates(answer["client.chained"].encode())[1]
    root.write_text(answer["root.crt"])
    bundle.write_text(issuer.public_bytes(Encoding.PEM).decode() + answer["root.crt"])
    return devices, root, bundle


def configure(server: Server) -> str:
    """Give the factory a configuration that every device gets; returns the header of one that has it."""
    body = {"reason": "", "files": [{"name": "motd", "value": "hello", "unencrypted": True}]}
    url = f"{server.api_url}/ota/factories/{FACTORY}/config/"
    httpx2.patch(url, json=body, headers={"OSF-TOKEN": server.token}, timeout=30).raise_for_status()
    time.sleep(2)  # until the worker has heard of it
    return f"If-Modified-Since: {format_datetime(datetime.now(UTC), usegmt=True)}\r\n"


def require_check_ins(server: Server, devices: list[Device], since: datetime) -> None:
    """Demand that the database knows a visit of every device that is not older than this.

    Raises:
        RuntimeError: it does not; a fast answer without a record would not count.
    """
    deadline = time.monotonic() + 30  # check-ins are written in batches
    while time.monotonic() < deadline:
        late = {device.uuid for device in devices} - _seen_since(server, since)
        if not late:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{len(late)} of {len(devices)} devices visited the gateway and no visit is on record")


def _seen_since(server: Server, since: datetime) -> set[str]:
    parameters = {"factory": FACTORY, "limit": "1000"}
    with httpx2.Client(headers={"OSF-TOKEN": server.token}, timeout=30) as client:
        answer = client.get(f"{server.api_url}/ota/devices/", params=parameters).raise_for_status()
    devices = msgspec.json.decode(answer.content, type=_DeviceList).devices
    earliest = since.replace(microsecond=0)
    return {device.uuid for device in devices if device.last_seen and _moment(device.last_seen) >= earliest}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class _Visited(msgspec.Struct, rename="kebab"):
    uuid: str
    last_seen: str | None = None


class _DeviceList(msgspec.Struct):
    devices: list[_Visited]


def _post_registration(server: Server, name: str, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, FACTORY),
        ]
    )
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    body = {"uuid": name, "csr": csr.public_bytes(Encoding.PEM).decode(), "hardware-id": "bench"}
    answer = httpx2.post(f"{server.api_url}/ota/devices/", json=body, headers={"OSF-TOKEN": server.token}, timeout=30)
    return msgspec.json.decode(answer.raise_for_status().content, type=dict[str, str])


def _ready_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, object]:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and '"gateway"' in line:
                return msgspec.json.decode(line, type=dict[str, object])
        time.sleep(0.05)
    raise RuntimeError("the server did not start:\n" + log.read_text())
