"""Requests of a factory floor that no well-behaved device sends: cut off, or with a CSR that must not be signed."""

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from ownroot.client.tls import api_trust
from ownroot.pki.encoding import csr_pem
from ownroot.pki.names import device_subject
from ownroot.pki.requests import make_csr
from ownroot.pki.signer import PrivateKey
from ownroot.wire.registration import RegistrationRequest, registration_request_body

_SECONDS = 30


class HangUp:
    """Sends requests whole and goes away before the answer comes, as a cable that is pulled.

    Args:
        url, headers, cacert: as of the endpoint that other requests go to.
    """

    def __init__(self, url: str, headers: dict[str, str], cacert: Path | None) -> None:
        self._parts = urlsplit(url)
        self._headers = {"Content-Type": "application/json", **headers}
        self._tls: ssl.SSLContext | None = api_trust(cacert) if self._parts.scheme == "https" else None

    def send(self, body: bytes) -> None:
        """Send one request and hang up. The server may have acted on it or not.

        Raises:
            OSError: it could not even be sent.
        """
        connection = self._connection()
        try:
            connection.request("POST", self._parts.path or "/", body=body, headers=self._headers)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=_SECONDS)
        return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=self._tls)


def bad_request(kind: int, key: PrivateKey, *, factory: str, uuid: str) -> bytes:
    """Make a registration that must be refused as bad input; `kind` chooses the fault, any number does."""
    csr = csr_pem(make_csr(key, device_subject(factory, uuid)))
    faults = (
        lambda: _body(_broken_signature(csr), uuid),
        lambda: _body(csr, f"not-{uuid}"),
        lambda: _body(csr.replace("CERTIFICATE REQUEST", "CERTIFICATE"), uuid),
        lambda: _body(csr[: len(csr) // 2], uuid),
        lambda: b"[1]",
    )
    return faults[kind % len(faults)]()


def _body(csr: str, uuid: str) -> bytes:
    return registration_request_body(RegistrationRequest(csr=csr, hardware_id="sim", uuid=uuid))


def _broken_signature(csr: str) -> str:
    """Change one character in the middle of the last line but one: the signature is at the end."""
    lines = csr.splitlines()
    line = lines[-3]
    middle = len(line) // 2
    lines[-3] = line[:middle] + ("A" if line[middle] != "A" else "B") + line[middle + 1 :]
    return "\n".join(lines) + "\n"
