"""An EST server under the owner's root that answers what a test tells it to, over real TLS."""

import base64
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from tests.support.certificates import Pair, gateway_tls

_NAME = "est.localhost"


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class EstServer:
    """A server that runs. `answer` makes the answer to a CSR; `asked` counts."""

    url: str
    answer: Callable[[x509.CertificateSigningRequest], Said]
    asked: int = 0


def certified(certificate: x509.Certificate) -> Said:
    """Answer with this certificate, as EST servers do."""
    body = base64.b64encode(pkcs7.serialize_certificates([certificate], Encoding.DER))
    return Said(200, body, {"Content-Type": "application/pkcs7-mime; smime-type=certs-only"})


@contextmanager
def est_server(
    folder: Path, root: Pair, answer: Callable[[x509.CertificateSigningRequest], Said]
) -> Iterator[EstServer]:
    """Serve on loopback until the end of the block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_write(folder / "est.pem", gateway_tls(root, dns_names=(_NAME,), now=_start(root))))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            running.asked += 1
            request = base64.b64decode(self.rfile.read(int(self.headers["Content-Length"])))
            self._say(running.answer(x509.load_der_x509_csr(request)))

        def do_GET(self) -> None:
            self._say(Said(404, b""))

        def _say(self, said: Said) -> None:
            self.send_response(said.status)
            for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    running = EstServer(f"https://{_NAME}:{server.server_address[1]}/.well-known/est", answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _start(root: Pair) -> datetime:
    return root.certificate.not_valid_before_utc


def _write(path: Path, pair: Pair) -> Path:
    key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pair.pem.encode() + key)
    return path
