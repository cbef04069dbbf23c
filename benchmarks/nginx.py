"""nginx from Debian, verifying client certificates and answering 204: what we are measured against."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from benchmarks.processes import SERVER_CORE, family, on_core

CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    server_name {name};
    ssl_certificate {folder}/tls.crt;
    ssl_certificate_key {folder}/tls.key;
    ssl_client_certificate {client_cas};
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_protocols TLSv1.2 TLSv1.3;
    {resumption}
    location / {{ return 204; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx; its trust anchor is nobody's business, the load does not verify it."""

    pid: int
    port: int

    def processes(self) -> list[int]:
        """List master and worker."""
        return family(self.pid)


def program() -> str:
    """Return the path of nginx; `./run bench` has installed it."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise RuntimeError("nginx is missing; as root: apt-get install -y --no-install-recommends nginx")
    return found


def version() -> str:
    """Return nginx's own words for its version and its OpenSSL."""
    text = subprocess.run([program(), "-V"], check=True, capture_output=True, text=True).stderr
    name = re.search(r"nginx version: (\S+)", text)
    openssl = re.search(r"running with (OpenSSL \S+)", text) or re.search(r"built with (OpenSSL \S+)", text)
    return f"{name[1] if name else 'nginx'} with {openssl[1] if openssl else 'an unknown OpenSSL'}"


@contextmanager
def running_nginx(folder: Path, name: str, client_cas: Path, *, resumption: bool) -> Iterator[Nginx]:
    """Start nginx on the server's core and stop it again.

    With resumption it is left as it comes: it writes session tickets, even for clients that never use one. Without,
    it promises what our gateway promises: every connection is a full handshake.
    """
    folder.mkdir()
    _write_server_certificate(folder, name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = folder / "nginx.conf"
    settings = {"folder": folder, "port": port, "name": name, "client_cas": client_cas}
    off = "ssl_session_cache off; ssl_session_tickets off;"
    configuration.write_text(CONFIGURATION.format(**settings, resumption="" if resumption else off))
    with on_core(SERVER_CORE):
        process = subprocess.Popen([program(), "-c", configuration, "-p", folder], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Nginx(process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _write_server_certificate(folder: Path, name: str) -> None:
    """A P-256 certificate like the gateway's own: one, signed by a root that is not sent."""
    root_key, key, now = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
        datetime.now(UTC),
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench root")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    )


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("nginx did not start")
