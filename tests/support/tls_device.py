"""A device as the standard library's TLS stack sees one: it connects, sends bytes, reads HTTP answers.

That stack is the system's OpenSSL, another build than the one the gateway uses, so neither confirms itself.
"""

import http.client
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.certificates import Pair

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """How a device connects; by default it checks nothing of the server and asks for no name.

    Args:
        identity: certificate and key; None sends none.
        chain: certificates sent after its own.
        proves: PEM of the key it signs with, where that shall not be the certificate's own.
        source: the address it calls from, one of 127.0.0.0/8; None: whichever the system takes.
    """

    identity: Pair | None = None
    chain: Sequence[Pair] = ()
    root: Pair | None = None
    server_name: str | None = None
    highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    proves: bytes | None = None
    source: str | None = None

    def context(self) -> ssl.SSLContext:
        """Make the TLS settings of this device."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = self.highest
        context.check_hostname = self.root is not None
        context.verify_mode = ssl.CERT_NONE if self.root is None else ssl.CERT_REQUIRED
        if self.root is not None:
            context.load_verify_locations(cadata=self.root.pem)
        if self.identity is not None:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that it may show weak keys
            _load_identity(context, self.identity, self.chain, self.proves)
        return context

    @contextmanager
    def connect(self, address: tuple[str, int]) -> Iterator[ssl.SSLSocket]:
        """Shake hands; the socket is closed without a goodbye unless the test says one."""
        with (
            socket.create_connection(
                address, TIMEOUT_SECONDS, source_address=None if self.source is None else (self.source, 0)
            ) as plain,
            self.context().wrap_socket(plain, server_hostname=self.server_name) as connection,
        ):
            yield connection

    def get(self, address: tuple[str, int], path: str = "/device", **headers: str) -> Reply:
        """Connect, ask once, and read the answer."""
        with self.connect(address) as connection:
            return ask(connection, path, **headers)


def ask(connection: ssl.SSLSocket, path: str = "/device", *, method: str = "GET", **headers: str) -> Reply:
    """Send one request on an open connection; underscores in header names become hyphens."""
    fields = {"Host": "gateway.example"} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return read_reply(connection, method=method)


def exchange(connection: ssl.SSLSocket, raw: bytes) -> Reply:
    """Send bytes as they are and read one answer."""
    connection.sendall(raw)
    return read_reply(connection)


def read_reply(connection: ssl.SSLSocket, *, method: str = "GET") -> Reply:
    """Read one answer, no byte more."""
    answer = http.client.HTTPResponse(connection, method=method)
    answer.fp = _Unbuffered(connection)  # type: ignore[assignment]  # the next answer must stay in the socket
    answer.begin()
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def is_closed_by_peer(connection: ssl.SSLSocket) -> bool:
    """Wait until the server closes or says something; answers True if it closed, in whatever way."""
    try:
        return connection.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def spoiled_key(identity: Pair, other: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a PEM key that claims to be the identity's and signs with another scalar: a clone that proves nothing."""
    honest = identity.ec_key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    size = (identity.ec_key.key_size + 7) // 8
    mine = identity.ec_key.private_numbers().private_value.to_bytes(size, "big")
    forged = honest.replace(mine, other.private_numbers().private_value.to_bytes(size, "big"))
    text = ssl.DER_cert_to_PEM_cert(forged)
    return text.replace("CERTIFICATE", "EC PRIVATE KEY").encode()


class _Unbuffered:
    """Enough of a binary file over a TLS socket, one byte at a time."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection

    def readline(self, limit: int = -1) -> bytes:
        line = b""
        while not line.endswith(b"\n") and (limit < 0 or len(line) < limit):
            byte = self._connection.recv(1)
            if not byte:
                break
            line += byte
        return line

    def read(self, amount: int = -1) -> bytes:
        data = b""
        while amount < 0 or len(data) < amount:
            part = self._connection.recv(amount - len(data) if amount >= 0 else 65536)
            if not part:
                break
            data += part
        return data

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _load_identity(context: ssl.SSLContext, identity: Pair, chain: Sequence[Pair], proves: bytes | None) -> None:
    key = proves or identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory() as folder:
        certificate_file, key_file = Path(folder, "chain.pem"), Path(folder, "key.pem")
        certificate_file.write_text("".join(pair.pem for pair in (identity, *chain)))
        key_file.write_bytes(key)
        context.load_cert_chain(certificate_file, key_file)
