"""`examples/customer-api` as a real process, on its own or behind a real nginx or HAProxy, beside a real server."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ownroot.pki.requests import make_csr
from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair, entity, make_key
from tests.support.owner import Owner
from tests.support.tls_device import Device, Reply, exchange
from tests.support.tools import require_tool
from tests.support.world import RunningServer

APP = Path(__file__).parents[2] / "examples" / "customer-api" / "app.py"
_SECONDS = 30.0


@dataclass(slots=True)
class Customer:
    """A factory's owner with an API of their own, whose certificate `keys ca sign` made."""

    server: RunningServer
    home: Path
    api: ApiOwner = field(init=False)
    local_ca: Pair = field(init=False)

    def __post_init__(self) -> None:
        (self.home / "owner").mkdir(parents=True)
        owner = Owner(self.home / "owner").at(
            self.server.api_url, factory=self.server.factory, token=self.server.owner_token
        )
        done = owner.run("keys", "ca", "create", self.pki)
        assert done.code == 0, done.err
        self.api = ApiOwner(self.server)
        self.api.root, self.local_ca = self._pair("factory_ca"), self._pair("local-ca")
        self._make_certificate(owner)

    @property
    def pki(self) -> Path:
        return self.home / "pki"

    @property
    def gateway_name(self) -> str:
        tls = x509.load_pem_x509_certificate(self.api.get()["tls-crt"].encode())
        names = tls.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return next(n for n in names.get_values_for_type(x509.DNSName) if not n.startswith("ostree."))

    @contextmanager
    def running(self, *options: str, gateway_name: str = "", root: Path | None = None) -> Iterator[int]:
        """Run the example; yields its port."""
        words = [sys.executable, APP, "--port", "0", "--interval", "0.2", "--root", root or self.pki / "factory_ca.pem"]
        words += ["--gateway-name", gateway_name or self.gateway_name, *options]
        known = {"OWNROOT_URL": self.server.api_url, "OWNROOT_FACTORY": self.server.factory}
        token = self.server.create_token("devices:read")
        environment = {"PATH": os.environ["PATH"], **known, "OWNROOT_TOKEN": token}
        process = subprocess.Popen(
            list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.fullmatch(r"serving on port (\d+)\n", said)
            assert found, said + process.communicate(timeout=_SECONDS)[1]
            yield int(found[1])
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def standalone(self, *options: str) -> Iterator["DeviceApi"]:
        """Run it on its own."""
        certificate = ("--cert", str(self.home / "api.pem"), "--key", str(self.home / "api.key"))
        with self.running(*certificate, *options) as port:
            yield DeviceApi(self, port)

    @contextmanager
    def behind_nginx(self, trust: Path, *options: str) -> Iterator["DeviceApi"]:
        """Run it behind nginx, which includes the snippet that `trust export` wrote to this directory."""
        config, front = self.home / "nginx.conf", _free_port()
        with self.running("--front", "127.0.0.1", *options) as port:
            snippet = trust / "ownroot-device-trust.conf"
            config.write_text(_NGINX.format(home=self.home, front=front, port=port, snippet=snippet))
            with _front([require_tool("nginx"), "-c", config, "-e", self.home / "nginx.log"], front):
                yield DeviceApi(self, front, direct=port)

    @contextmanager
    def behind_haproxy(self, trust: Path, *options: str) -> Iterator["DeviceApi"]:
        """Run it behind HAProxy, with the lines that `trust export` wrote to this directory pasted into it."""
        config, front = self.home / "haproxy.cfg", _free_port()
        pasted = haproxy_lines(trust, certificate=self.home / "api-and-key.pem", address=f"127.0.0.1:{front}")
        (self.home / "api-and-key.pem").write_text(
            "".join((self.home / f"api.{n}").read_text() for n in ("pem", "key"))
        )
        with self.running("--front", "127.0.0.1", *options) as port:
            config.write_text(_HAPROXY.format(lines=pasted, port=port))
            with _front([require_tool("haproxy"), "-db", "-q", "-f", config], front) as process:
                yield DeviceApi(self, front, direct=port, front=process)

    def _make_certificate(self, owner: Owner) -> None:
        key = make_key()
        (self.home / "api.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        csr = make_csr(key, entity("api", self.server.factory), ["localhost"])
        (self.home / "api.csr").write_bytes(csr.public_bytes(Encoding.PEM))
        signed = owner.run("keys", "ca", "sign", "--pki-dir", self.pki, self.home / "api.csr")
        assert signed.code == 0, signed.err
        (self.home / "api.pem").write_text(signed.out)

    def _pair(self, name: str) -> Pair:
        certificate = x509.load_pem_x509_certificate((self.pki / f"{name}.pem").read_bytes())
        key = load_pem_private_key((self.pki / f"{name}.key").read_bytes(), None)
        return Pair(certificate, key)  # type: ignore[arg-type]  # the directory's keys are EC


@dataclass(frozen=True, slots=True)
class DeviceApi:
    """Where devices reach the customer's API. `direct`: the application's own port behind a `front`."""

    customer: Customer
    port: int
    direct: int = 0
    front: "subprocess.Popen[bytes] | None" = None

    def ask(self, identity: Pair | None, *header: str, chain: Sequence[Pair] = ()) -> Reply:
        """Let a device say hello; it verifies the server by the factory root. `header`: name and value, as spelled."""
        device = Device(identity=identity, chain=chain, root=self.customer.api.root, server_name="localhost")
        lines = ["GET / HTTP/1.1", "Host: localhost", "Connection: close", *([": ".join(header)] if header else [])]
        with device.connect(("127.0.0.1", self.port)) as connection:
            return exchange(connection, "\r\n".join([*lines, "", ""]).encode())


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def haproxy_lines(trust: Path, *, certificate: Path, address: str) -> str:
    """Return the lines that HAProxy's file tells people to paste, with our places in them."""
    snippet = (trust / "ownroot-device-trust.cfg").read_text()
    lines = [line.removeprefix("#   ") for line in snippet.splitlines() if line.startswith("#   ")]
    text = "\n    ".join(lines).replace("/etc/haproxy/api.pem", str(certificate)).replace(":443", address)
    return text.replace("/etc/haproxy/device-cas.pem", str(trust / "device-cas.pem"))


@contextmanager
def _front(command: list[str | Path], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: _listens(port))
        yield process
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


_NGINX = """\
daemon off;
master_process off;
pid {home}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{front} ssl;
        ssl_certificate {home}/api.pem;
        ssl_certificate_key {home}/api.key;
        include {snippet};
        location / {{ proxy_pass http://127.0.0.1:{port}; }}
    }}
}}
"""

_HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend devices
    {lines}
    default_backend api
backend api
    server app 127.0.0.1:{port}
"""
