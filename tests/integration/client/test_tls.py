"""Whom our clients believe, over real handshakes; each acceptance beside a refusal that differs in one thing."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ownroot.client.access import ApiAccess
from ownroot.client.api import Api
from ownroot.client.credentials import FileCredentials
from ownroot.client.gateway import GatewayClient
from ownroot.errors import KeyStoreError, OwnrootError
from ownroot.pki.encoding import certificate_pem
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, gateway_tls

NOW = datetime.now(UTC).replace(microsecond=0)
NAME = "acme.gateway.localhost"


class Seen:
    """What the server saw of its client."""

    sni: str | None = None
    device: str | None = None
    requests = 0


@contextmanager
def tls_server(folder: Path, identity: Pair, *, client_ca: Pair | None = None) -> Iterator[tuple[int, Seen]]:
    """Serve `{}` over TLS; with `client_ca` ask for client certificates."""
    seen = Seen()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_write(folder / "server", identity), folder / "server.key")
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=certificate_pem(client_ca.certificate))

    def note_name(_socket: object, name: str | None, _context: object) -> None:
        seen.sni = name

    context.sni_callback = note_name  # type: ignore[assignment]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.requests += 1
            peer = self.connection.getpeercert()  # type: ignore[attr-defined]
            names = {key: value for part in (peer or {}).get("subject", ()) for key, value in part}
            seen.device = names.get("commonName")
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *_arguments: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _write(path: Path, pair: Pair) -> Path:
    key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.with_suffix(".key").write_bytes(key)
    path.with_suffix(".pem").write_text(certificate_pem(pair.certificate))
    return path.with_suffix(".pem")


@pytest.fixture
def root() -> Pair:
    return factory_root(now=NOW)


@pytest.fixture
def server(root: Pair) -> Pair:
    return gateway_tls(root, dns_names=(NAME,), now=NOW)


def _certs(port: int, cacert: Path | None, name: str = NAME) -> None:
    access = ApiAccess(url=f"https://{name}:{port}", factory="acme", token="own_x", cacert=cacert)
    with Api(access) as api:
        api.certs()


def test_api_with_the_ca_named_is_believed_and_asked_by_name(tmp_path: Path, root: Pair, server: Pair) -> None:
    with tls_server(tmp_path, server) as (port, seen):
        _certs(port, _write(tmp_path / "root", root))
    assert (seen.sni, seen.requests) == (NAME, 1)


def test_api_whose_ca_is_not_named_gets_no_request(tmp_path: Path, server: Pair) -> None:
    with tls_server(tmp_path, server) as (port, seen):
        with pytest.raises(OwnrootError) as refusal:
            _certs(port, None)
        assert (refusal.value.code, seen.requests) == ("server-not-trusted", 0)


def test_api_under_another_name_gets_no_request(tmp_path: Path, root: Pair, server: Pair) -> None:
    with tls_server(tmp_path, server) as (port, seen):
        with pytest.raises(OwnrootError) as refusal:
            _certs(port, _write(tmp_path / "root", root), name="other.localhost")
        assert (refusal.value.code, seen.requests) == ("server-not-trusted", 0)


def test_cacert_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nonsense")
    with pytest.raises(OwnrootError) as refusal:
        _certs(9, tmp_path / "x.pem")
    assert refusal.value.code == "bad-cacert"
    assert "x.pem" in refusal.value.detail


@pytest.fixture
def device(tmp_path: Path, root: Pair) -> tuple[Path, Path, Pair]:
    """Certificate file, key file and CA of a device."""
    ca = device_ca(root, now=NOW)
    leaf = device_certificate(ca, now=NOW)
    return _write(tmp_path / "device", leaf), tmp_path / "device.key", ca


def _visit(port: int, root: Path, device: tuple[Path, Path, Pair], name: str = NAME) -> str:
    with GatewayClient(f"https://{name}:{port}", root, FileCredentials(device[0], device[1])) as gateway:
        return gateway.get("/device").text


def test_gateway_sees_the_device_and_its_own_name(
    tmp_path: Path, root: Pair, server: Pair, device: tuple[Path, Path, Pair]
) -> None:
    with tls_server(tmp_path, server, client_ca=device[2]) as (port, seen):
        assert _visit(port, _write(tmp_path / "root", root), device) == "{}"
    assert seen.sni == NAME
    assert seen.device


def test_gateway_under_another_root_is_refused_by_the_device(
    tmp_path: Path, server: Pair, device: tuple[Path, Path, Pair]
) -> None:
    other = factory_root(now=NOW)
    with tls_server(tmp_path, server, client_ca=device[2]) as (port, seen):
        with pytest.raises(OwnrootError) as refusal:
            _visit(port, _write(tmp_path / "root", other), device)
        assert (refusal.value.code, seen.requests) == ("server-not-trusted", 0)


def test_expired_gateway_is_refused_by_the_device(tmp_path: Path, root: Pair, device: tuple[Path, Path, Pair]) -> None:
    past = NOW - timedelta(days=20)
    expired = gateway_tls(root, dns_names=(NAME,), now=past, not_after=past + timedelta(days=10))
    with tls_server(tmp_path, expired, client_ca=device[2]) as (port, _seen):
        with pytest.raises(OwnrootError) as refusal:
            _visit(port, _write(tmp_path / "root", root), device)
        assert "expired" in refusal.value.detail


def test_root_signed_by_a_higher_ca_is_an_anchor_of_its_own(tmp_path: Path, device: tuple[Path, Path, Pair]) -> None:
    # api.md §3.4 step 3: such a root is allowed; what the device pinned is what counts.
    higher = factory_root(now=NOW)
    lower = device_ca(higher, now=NOW, path_length=1)
    leaf = gateway_tls(lower, dns_names=(NAME,), now=NOW)
    with tls_server(tmp_path, leaf, client_ca=device[2]) as (port, _seen):
        assert _visit(port, _write(tmp_path / "root", lower), device) == "{}"


def test_key_that_is_not_the_certificates_is_refused_before_connecting(
    tmp_path: Path, root: Pair, device: tuple[Path, Path, Pair]
) -> None:
    _write(tmp_path / "other", factory_root(now=NOW))
    credentials = FileCredentials(device[0], tmp_path / "other.key")
    with pytest.raises(KeyStoreError) as refusal:
        GatewayClient(f"https://{NAME}:9", _write(tmp_path / "root", root), credentials)
    assert refusal.value.code == "device-key-unusable"


def test_gateway_by_plain_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OwnrootError) as refusal:
        GatewayClient(f"http://{NAME}:9", tmp_path / "a", FileCredentials(tmp_path / "b", tmp_path / "c"))
    assert refusal.value.code == "bad-url"
