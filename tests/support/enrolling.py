"""A device that renews its certificate: real handshakes, and EST bodies as existing programs write them."""

import base64
import contextlib
import http.client
import json
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from cryptography.x509.name import _ASN1Type

from tests.support.api_owner import ApiOwner
from tests.support.certificates import Key, Pair, csr, make_key
from tests.support.tls_device import Device, Reply, exchange
from tests.support.world import RunningServer

EST: Final = "/.well-known/est"
REENROL: Final = f"{EST}/simplereenroll"
PKCS10: Final = "application/pkcs10"


@dataclass(slots=True)
class Enrolling:
    """A device at a gateway.

    Attributes:
        key: the one it wants a certificate for; a new one unless a test says otherwise.
        server_name: SNI; None sends none, which means the default factory.
    """

    address: tuple[str, int]
    identity: Pair | None
    key: Key = field(default_factory=make_key)
    server_name: str | None = None

    def request(self, subject: x509.Name | None = None, **odd: object) -> x509.CertificateSigningRequest:
        """Make the CSR a device sends: its own name, the two usages."""
        assert self.identity is not None or subject is not None
        name = subject or (self.identity.certificate.subject if self.identity else None)
        return csr(self.key, name, **odd)  # type: ignore[arg-type]  # names and types are the test's

    def enrol(self, body: bytes | None = None, *, path: str = REENROL, content_type: str | None = PKCS10) -> Reply:
        """POST a CSR; None is the right one in base64 without line breaks."""
        sent = base64.b64encode(der(self.request())) if body is None else body
        headers = {} if content_type is None else {"Content-Type": content_type}
        return self.send("POST", path, sent, headers)

    def announce(self, key: Key | None = None) -> Reply:
        """PATCH /device with a public key."""
        return self.patch_device(json.dumps({"next_pubkey": public_pem(key or self.key)}).encode())

    def patch_device(self, body: bytes) -> Reply:
        return self.send("PATCH", "/device", body, {"Content-Type": "application/json"})

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Connect, ask once, read the answer."""
        host = self.server_name or "gateway.example"
        fields = {"Host": host, "Content-Length": str(len(body)), **(headers or {})}
        head = "\r\n".join(
            [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        )
        with Device(identity=self.identity, server_name=self.server_name).connect(self.address) as connection:
            return exchange(connection, head.encode() + body)

    def get(self, path: str = "/device") -> Reply:
        return self.send("GET", path)

    def renewed(self) -> "Enrolling":
        """Renew, and return the device with its new certificate."""
        return Enrolling(self.address, Pair(certificate_of(self.enrol()), self.key), server_name=self.server_name)


def der(request: x509.CertificateSigningRequest) -> bytes:
    return request.public_bytes(Encoding.DER)


def public_pem(key: Key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate_of(reply: Reply) -> x509.Certificate:
    """Return the one certificate of an answer."""
    assert reply.status == 200, reply.text
    assert reply.headers["content-type"].startswith("application/pkcs7-mime")
    (certificate,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(reply.body))
    return certificate


def code_of(reply: Reply) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return reply.status, reply.text.partition(":")[0]


def printable(name: Iterable[x509.NameAttribute[str]]) -> x509.Name:
    """Return the same name in the other string type."""
    return x509.Name([x509.NameAttribute(part.oid, part.value, _ASN1Type.PrintableString) for part in name])


def registered(owner: ApiOwner, uuid: str) -> Enrolling:
    """Register a device through the API; it has not called yet."""
    return Enrolling(owner.server.gateway_address, owner.register_pair(uuid))


def renewals(server: RunningServer, uuid: str) -> int:
    """Count the certificates that a device got in place of another."""
    with sqlite3.connect(server.data_dir / "ownroot.db") as database:
        asked = "SELECT count(*) FROM issuances WHERE profile = 'device-renewal' AND subject_key = ? AND state = 1"
        return int(database.execute(asked, (uuid,)).fetchone()[0])


def eventually(condition: Callable[[], object], seconds: float = 8.0) -> None:
    """Wait until the gateway has heard of a change; a connection that the change cut is tried again."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(ConnectionError, ssl.SSLError, http.client.HTTPException):
            if condition():
                return
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def audited(server: RunningServer) -> list[dict[str, Any]]:
    """Return the audit log as it is stored, oldest first."""
    with sqlite3.connect(server.data_dir / "ownroot.db") as database:
        rows = database.execute("SELECT body FROM audit_events ORDER BY sequence").fetchall()
    return [json.loads(row[0]) for row in rows]


def recorded_renewals(server: RunningServer) -> list[bytes]:
    """Return every certificate that the log of issuances knows as a renewal, DER."""
    with sqlite3.connect(server.data_dir / "ownroot.db") as database:
        asked = "SELECT certificate_der FROM issuances WHERE profile = 'device-renewal' AND state = 1"
        return [row[0] for row in database.execute(asked)]


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
