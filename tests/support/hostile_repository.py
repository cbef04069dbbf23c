"""A gateway that serves whatever a test puts there over mutual TLS, and a device that was registered with it."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ownroot.clock import utc_now
from ownroot.device.accepted_metadata import AcceptedMetadata
from ownroot.device.check_in import open_gateway
from ownroot.device.files import METADATA_DIRECTORY
from ownroot.device.identity import load_identity
from ownroot.device.update_check import Refreshed, UpdateCheck
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, gateway_tls

_NAME = "gw.localhost"
_SETTINGS = """\
[tls]
server = "https://{name}:{port}"

[import]
tls_cacert_path = "{place}/root.crt"
tls_clientcert_path = "{place}/client.pem"
tls_pkey_path = "{place}/pkey.pem"

[provision]
primary_ecu_hardware_id = "rpi4"

[pacman]
tags = "main"
"""


@dataclass
class HostileRepository:
    """`served`: body by name below /repo/; what is not there is answered 404. `asked`: names in order.

    `published_meanwhile`: what is served once the device has waited.
    """

    place: Path
    served: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tags: set[str | None] = field(default_factory=set)
    waits: int = 0
    published_meanwhile: tuple[bytes, bytes, bytes] | None = None

    @property
    def kept(self) -> Path:
        return self.place / METADATA_DIRECTORY

    def serve(self, timestamp: bytes, snapshot: bytes, targets: bytes) -> None:
        self.served |= {"timestamp.json": timestamp, "snapshot.json": snapshot, "targets.json": targets}

    def refresh(self, clock: datetime, *, initial_roots: Path | None = None) -> Refreshed:
        """What `ownroot-device check-update` does at a time."""
        identity = load_identity(self.place)
        with open_gateway(identity) as gateway:
            provisioned = initial_roots or self.place / "none"
            kept = AcceptedMetadata(self.kept)
            return UpdateCheck(identity, gateway, kept, provisioned, wait=self._wait).refresh(clock)

    def _wait(self, _seconds: float) -> None:
        self.waits += 1
        if self.published_meanwhile is not None:
            self.serve(*self.published_meanwhile)


@contextmanager
def hostile_repository(place: Path, *, production: bool = False) -> Iterator[HostileRepository]:
    """Serve on a free loopback port; the device's files are in `place`."""
    now = utc_now()
    root = factory_root(now=now)
    tls = gateway_tls(root, now=now, dns_names=(_NAME,))
    device = device_certificate(device_ca(root, now=now), now=now, production=production)
    repository = HostileRepository(place)
    place.mkdir(parents=True, exist_ok=True)
    _write(place, "server", tls)
    (place / "root.crt").write_text(root.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "server.pem", place / "server.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repository))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    _write(place, "client", device)
    (place / "client.key").rename(place / "pkey.pem")
    (place / "sota.toml").write_text(_SETTINGS.format(name=_NAME, port=server.server_port, place=place))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _write(place: Path, name: str, pair: Pair) -> None:
    (place / f"{name}.pem").write_text(pair.pem)
    private = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / f"{name}.key").write_bytes(private)


def _handler(repository: HostileRepository) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.removeprefix("/repo/")
            repository.asked.append(name)
            repository.tags.add(self.headers.get("x-ats-tags"))
            body = repository.served.get(name)
            status = repository.status.get(name, 404 if body is None else 200)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    return Handler
