"""HTTP/1.1 requests from bytes: httptools reads, we refuse.

llhttp (inside httptools) already refuses bare line feeds, a doubled `Content-Length`, and `Content-Length` beside
`Transfer-Encoding`. Whatever else two parsers could read in two ways is refused here: no or two `Host`, absolute
targets, any transfer coding but one `chunked` on HTTP/1.1, upgrades, trailers; and all sizes are capped, since llhttp
caps none. The first fault ends the connection; requests completed before it are still answered.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httptools
import msgspec

from ownroot.gateway.limits import Limits

_TARGET = re.compile(rb"/[!-\"$-~]*\Z")  # visible ASCII without `#`
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_NO_HEADERS: Final[dict[bytes, bytes]] = {}
_NO_BODY: Final[list[bytes]] = []
_ONCE_ONLY = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))


@dataclass(frozen=True, slots=True)
class HttpFault:
    """Why a peer's bytes are no request we read; `detail` is safe to send."""

    status: int
    detail: str


class Request(msgspec.Struct, frozen=True):
    """One whole request. Header names are lower-case; repeated headers are joined with `, ` (RFC 9110 §5.3)."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool


def _nothing_longer(_path: str) -> int | None:
    return None


class _StopParsingError(Exception):
    """Carries a fault out of a callback of httptools."""


class RequestParser:
    """Feed plaintext, take `requests`, look at `fault`.

    Attributes:
        requests: whole requests in order of arrival; the owner removes them.
        fault: set once, then nothing more is read.
        wants_continue: the peer waits for `100 Continue` before it sends the body.
    """

    __slots__ = (
        "_ask_body_bytes",
        "_body",
        "_body_bytes",
        "_body_limit",
        "_head_bytes",
        "_headers",
        "_headers_done",
        "_in_message",
        "_keep_alive",
        "_limits",
        "_llhttp",
        "_raw_bytes",
        "_target",
        "fault",
        "requests",
        "wants_continue",
    )

    def __init__(self, limits: Limits, body_bytes: Callable[[str], int | None] = _nothing_longer) -> None:
        """`body_bytes` may allow longer bodies than `limits` at a path."""
        self._limits = limits
        self._ask_body_bytes = body_bytes
        self.requests: list[Request] = []
        self.fault: HttpFault | None = None
        self.wants_continue = False
        self._in_message = False
        self._keep_alive = True
        self._llhttp = httptools.HttpRequestParser(self)

    @property
    def is_between_requests(self) -> bool:
        return not self._in_message and not self.requests

    @property
    def is_finished(self) -> bool:
        """Nothing more will be read: a fault, or a request that ends the connection."""
        return self.fault is not None or not self._keep_alive

    def feed(self, data: bytes) -> None:
        """Read some plaintext; the outcome is in the attributes, never an exception."""
        if self.is_finished:
            return
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._set_fault(400, "this gateway upgrades no connections")
        except httptools.HttpParserError:
            # Bytes behind the last request of a connection are nobody's; llhttp calls them an error.
            if self._keep_alive:
                self._set_fault(400, "not a well-formed HTTP/1.1 request")
        else:
            self._check_sizes_of_unfinished(len(data))

    def let_go(self) -> None:
        """Part with whoever owns this and with httptools, lest only the garbage collector can free all three."""
        self._ask_body_bytes = _nothing_longer
        del self._llhttp

    def _check_sizes_of_unfinished(self, fed: int) -> None:
        if not self._in_message:
            return
        self._raw_bytes += fed
        if not self._headers_done and self._raw_bytes > 2 * self._limits.head_bytes:
            self._set_fault(431, "request line and headers are too long")
        elif self._raw_bytes > 2 * (self._limits.head_bytes + self._body_limit):
            self._set_fault(413, "the request is too long")

    def _set_fault(self, status: int, detail: str) -> None:
        if self.fault is None:
            self.fault = HttpFault(status, detail)

    def _stop(self, status: int, detail: str) -> _StopParsingError:
        self._set_fault(status, detail)
        return _StopParsingError(detail)

    # What httptools calls, in this order, for each request.

    def on_message_begin(self) -> None:
        if len(self.requests) >= self._limits.pipelined_requests:
            raise self._stop(400, "too many requests before the first answer was read")
        self._in_message = True
        self._headers_done = False
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._raw_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._body_limit = self._limits.body_bytes

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._count_head(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headers_done:
            raise self._stop(400, "trailer fields are not accepted")
        self._count_head(len(name) + len(value) + 4)
        headers = self._headers
        name = name.lower()
        if name not in headers:
            headers[name] = value
        elif name in _ONCE_ONLY:
            raise self._stop(400, f"the header {name.decode('ascii', 'replace')} is given twice")
        else:
            headers[name] += b", " + value
        if len(headers) > self._limits.header_count:
            raise self._stop(431, "too many headers")

    def _count_head(self, length: int) -> None:
        self._head_bytes += length
        if self._head_bytes > self._limits.head_bytes:
            raise self._stop(431, "request line and headers are too long")

    def on_headers_complete(self) -> None:
        self._headers_done = True
        headers = self._headers
        version = self._llhttp.get_http_version()
        if version not in ("1.1", "1.0"):
            raise self._stop(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        if b"upgrade" in headers or self._llhttp.should_upgrade():
            raise self._stop(400, "this gateway upgrades no connections")
        host = headers.get(b"host")
        if host is None and version == "1.1":
            raise self._stop(400, "the header host is missing")
        if host is not None and _HOST.match(host) is None:
            raise self._stop(400, "the header host is no host name")
        if _TARGET.match(self._target) is None:
            raise self._stop(400, "the request target must be a path")
        if b"transfer-encoding" in headers:
            self._check_transfer_coding(version)
        if b"transfer-encoding" in headers or b"content-length" in headers:
            self._check_length(int(headers.get(b"content-length", 0)))
        if b"expect" in headers:
            self._check_expectation(version)

    def _check_length(self, announced: int) -> None:
        path = self._target.partition(b"?")[0].decode("ascii")
        self._body_limit = self._ask_body_bytes(path) or self._limits.body_bytes
        if announced > self._body_limit:
            raise self._too_long()

    def _too_long(self) -> _StopParsingError:
        return self._stop(413, f"a body may have {self._body_limit} bytes at most")

    def _check_transfer_coding(self, version: str) -> None:
        if version != "1.1" or self._headers[b"transfer-encoding"].lower() != b"chunked":
            raise self._stop(400, "the only transfer coding is one `chunked`, on HTTP/1.1")
        if b"content-length" in self._headers:
            raise self._stop(400, "content-length beside transfer-encoding")

    def _check_expectation(self, version: str) -> None:
        if self._headers[b"expect"].lower() != b"100-continue":
            raise self._stop(417, "the only expectation met here is 100-continue")
        self.wants_continue = version == "1.1"

    def on_body(self, part: bytes) -> None:
        self.wants_continue = False
        self._body_bytes += len(part)
        if self._body_bytes > self._body_limit:
            raise self._too_long()
        self._body.append(part)

    def on_message_complete(self) -> None:
        self._in_message = False
        self.wants_continue = False
        self._keep_alive = self._llhttp.should_keep_alive()
        target = self._target.decode("ascii")
        path, _, query = target.partition("?")
        method = self._llhttp.get_method().decode("ascii")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self.requests.append(Request(method, path, query, self._headers, body, self._keep_alive))
        self._headers, self._body = _NO_HEADERS, _NO_BODY  # an idle connection keeps nothing of its last request
