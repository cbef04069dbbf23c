"""The seam between the engine (TLS and HTTP/1.1, no trust) and what it serves."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ownroot.gateway.http_parser import Request
from ownroot.gateway.responses import Response

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, read once, when the handshake ended.

    Attributes:
        address: IP address as text.
        site_key: the site its server name chose.
        certificate_der: the client certificate, whose key the handshake proved. **Nothing else about it is verified.**
            None if the client showed none.
        tls_version: `TLSv1.2` or `TLSv1.3`.
    """

    address: str
    site_key: int
    certificate_der: bytes | None
    tls_version: str


class ConnectionControl(Protocol):
    """What an application may do to a connection."""

    def abort(self) -> None:
        """Cut it at once, whatever it is doing. May be called at any time and repeatedly."""
        ...


class Application(Protocol[S]):
    """What an engine serves. `S` is what the application remembers about one connection."""

    def connected(self, connection: ConnectionControl, peer: Peer) -> S:
        """A handshake ended."""
        ...

    def body_bytes(self, session: S, path: str) -> int | None:
        """How long a body this peer may send to a path; None: what the engine grants everybody."""
        ...

    def handle(self, session: S, request: Request) -> Response | Awaitable[Response]:
        """Answer one request; requests of one connection come one after the other."""
        ...

    def disconnected(self, session: S) -> None:
        """The connection of this session is gone; called once."""
        ...

    def alerted(self, peer_address: str, site_key: int | None, alert: str) -> None:
        """A peer left the handshake with a fatal alert, named as in RFC 8446 §6 (`unknown_ca`)."""
        ...
