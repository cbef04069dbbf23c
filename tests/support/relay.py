"""A relay between a client and a real server that keeps every request and can spoil chosen ones.

It forwards bytes of HTTP/1.1 requests over loopback; what a fault does, it does on a real socket.
"""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length"))


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Fault(Enum):
    """What happens to a request instead of being forwarded and answered."""

    LOST_ON_THE_WAY = "the server never sees it"
    ANSWER_LOST = "the server acts on it, and its answer is lost"
    SILENCE = "the server never sees it, and nobody answers"
    GARBAGE = "something answers that is not HTTP"


@dataclass(frozen=True, slots=True)
class Instead:
    """An answer given in place of the server's."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Spoil = Callable[[Recorded], Fault | Instead | None]


@dataclass
class Relay:
    """A relay that runs. Set `spoil` to spoil requests; `requests` holds all that came."""

    url: str
    requests: list[Recorded] = field(default_factory=list)
    spoil: Spoil = lambda _request: None

    @property
    def lines(self) -> list[str]:
        """Method and path of every request, in order."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def spoil_once(self, method: str, part: str, fault: Fault | Instead) -> None:
        """Spoil the next request of this method whose path contains this text."""
        waiting = [fault]

        def spoil(request: Recorded) -> Fault | Instead | None:
            fits = request.method == method and part in request.path
            return waiting.pop() if fits and waiting else None

        self.spoil = spoil


@contextmanager
def relay_to(upstream: str) -> Iterator[Relay]:
    """Run a relay on a free loopback port until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    relay = Relay(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = _handler(relay, urlsplit(upstream).netloc)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(relay: Relay, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Recorded(self.command, self.path, headers, self.rfile.read(length))
            relay.requests.append(request)
            self._act(request, relay.spoil(request))

        def _act(self, request: Recorded, fault: Fault | Instead | None) -> None:
            if fault is None:
                self._answer(_forward(upstream, request))
            elif isinstance(fault, Instead):
                self._answer(fault)
            elif fault is Fault.ANSWER_LOST:
                _forward(upstream, request)
                self._cut()
            elif fault is Fault.GARBAGE:
                self.connection.sendall(b"220 mail.example.test ready\r\n")
                self._cut()
            elif fault is Fault.SILENCE:
                self.connection.recv(1)  # until the client gives up
                self.close_connection = True
            else:
                self._cut()

        def _cut(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _answer(self, answer: Instead) -> None:
            self.wfile.write(f"HTTP/1.1 {answer.status} Answer\r\n".encode())
            for name, value in (("Content-Type", answer.content_type), *answer.headers):
                self.wfile.write(f"{name}: {value}\r\n".encode())
            self.wfile.write(f"Content-Length: {len(answer.body)}\r\n\r\n".encode() + answer.body)

    return Handler


def _forward(upstream: str, request: Recorded) -> Instead:
    connection = http.client.HTTPConnection(upstream, timeout=30)
    try:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        connection.request(request.method, request.path, request.body or None, headers | {"host": upstream})
        answer = connection.getresponse()
        kept = tuple((name, value) for name, value in answer.getheaders() if name.lower() == "retry-after")
        return Instead(answer.status, answer.read(), answer.getheader("content-type", ""), kept)
    finally:
        connection.close()
