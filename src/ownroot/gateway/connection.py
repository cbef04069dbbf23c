"""One TLS connection: bytes in, requests out, answers back, and a limit on everything.

An asyncio protocol drives a pyOpenSSL connection over memory BIOs. Rules kept here:

* The peer is read once, when the handshake ends; nothing later changes who a connection belongs to.
* While an answer is being made or output waits for a slow reader, nothing is read from the socket.
* Time limits run on plaintext progress: TLS records without request bytes extend no deadline, and too many of them in
  a row end the connection.
* An idle connection holds no parser and no buffers.
"""

import asyncio
import contextlib
from enum import Enum, auto
from typing import Generic, cast

from OpenSSL import SSL, crypto

from ownroot.gateway.application import Peer, S
from ownroot.gateway.connection_counts import peer_group
from ownroot.gateway.http_parser import Request, RequestParser
from ownroot.gateway.hub import Hub
from ownroot.gateway.responses import CONTINUE, Response, encode_response

_RECORD_BYTES = 16 * 1024
_BROKEN = Response(500, b"internal error\n", close=True)


class _State(Enum):
    HANDSHAKE = auto()
    OPEN = auto()
    LINGERING = auto()  # answered for the last time; what still comes in is dropped unread
    CLOSED = auto()


class TlsConnection(asyncio.BufferedProtocol, Generic[S]):
    """See the module. One per accepted socket; the hub checks `deadline` every second."""

    __slots__ = (
        "_answer",
        "_blocked",
        "_bytes_in",
        "_group",
        "_hub",
        "_parser",
        "_session",
        "_spare_parser",
        "_state",
        "_tls",
        "_transport",
        "deadline",
    )

    def __init__(self, hub: Hub[S]) -> None:
        self._hub = hub
        self._state = _State.HANDSHAKE
        self._group: str | None = None
        self._session: S | None = None
        self._parser: RequestParser | None = None  # of a request that has begun
        self._spare_parser: RequestParser | None = None  # making one costs as much as reading a request
        self._answer: asyncio.Future[Response] | None = None
        self._blocked = False
        self._bytes_in = 0  # before the handshake ends: all of them; afterwards: since the last plaintext

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        hub = self._hub
        group = peer_group(self._peer_address())
        if not hub.admit(self, group):
            self._state = _State.CLOSED
            self._transport.abort()
            return
        self._group = group
        self._tls: SSL.Connection = hub.new_tls()
        self._transport.set_write_buffer_limits(high=0)
        self.deadline = hub.now() + hub.limits.handshake_seconds

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._state is _State.HANDSHAKE:
            return self._hub.buffer[: self._hub.limits.handshake_bytes - self._bytes_in]
        return self._hub.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._bytes_in += nbytes
        if self._state is _State.LINGERING:
            if self._bytes_in > self._hub.limits.silent_tls_bytes:
                self.abort()
            return
        if self._state is _State.CLOSED:
            return
        self._tls.bio_write(self._hub.buffer[:nbytes])
        if self._state is _State.HANDSHAKE:
            self._shake_hands()
        else:
            self._read()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _State.CLOSED
        if self._group is None:
            return
        self._hub.dismiss(self, self._group)
        self._group = None
        if self._session is not None:
            session, self._session = self._session, None
            self._hub.application.disconnected(session)
        self._parser = None
        if self._spare_parser is not None:
            self._spare_parser.let_go()
            self._spare_parser = None
        self._answer = None

    def pause_writing(self) -> None:
        self._blocked = True
        if self._state is _State.HANDSHAKE:
            return  # its own limit goes on
        self.deadline = self._hub.now() + self._hub.limits.write_seconds
        if self._state is _State.OPEN:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._state is _State.OPEN:
            self._extend_deadline()
            self._go_on()

    # Called by the engine and, as `ConnectionControl`, by the application.

    def abort(self) -> None:
        """Cut the connection at once, whatever it is doing."""
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._transport.abort()

    def expire(self) -> None:
        """A limit of time was reached: say goodbye between two requests, else cut."""
        if self._state is _State.OPEN and self._is_idle():
            self._close()
        else:
            self.abort()

    def close_when_idle(self) -> None:
        """Say goodbye between two requests; the next answer of a busy connection will be its last."""
        if self._state is _State.HANDSHAKE or (self._state is _State.OPEN and self._is_idle()):
            self._close()

    # The handshake.

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
            if self._bytes_in >= self._hub.limits.handshake_bytes:
                self._hub.counters.handshakes_too_big += 1
                self.abort()
            return
        except SSL.Error as exc:
            self._fail_handshake(exc)
            return
        self._hub.counters.handshakes += 1
        self._state = _State.OPEN
        self._bytes_in = 0
        peer = Peer(self._peer_address(), self._site_key(), self._peer_certificate(), self._tls_version())
        self._session = self._hub.application.connected(self, peer)
        if self._state is _State.OPEN:
            self.deadline = self._hub.now() + self._hub.limits.idle_seconds
            self._read()

    def _fail_handshake(self, exc: SSL.Error) -> None:
        self._hub.counters.handshakes_failed += 1
        alert = _alert_name(exc)
        if alert is not None:
            self._hub.application.alerted(self._peer_address(), self._tls.get_app_data(), alert)
        self._break_off()

    def _break_off(self) -> None:
        """Close after an error of TLS itself; OpenSSL has the alert ready, if there is one to send."""
        self._flush()
        self._state = _State.LINGERING
        self.deadline = self._hub.now() + self._hub.limits.linger_seconds
        self._transport.close()

    def _peer_address(self) -> str:
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""

    def _site_key(self) -> int:
        return cast("int", self._tls.get_app_data())

    def _tls_version(self) -> str:
        return self._tls.get_protocol_version_name()

    def _peer_certificate(self) -> bytes | None:
        certificate = self._tls.get_peer_certificate()
        return None if certificate is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)

    # Requests.

    def _read(self) -> None:
        """Decrypt what came in and serve it, until there is no more or something has to wait."""
        has_data = False
        while self._state is _State.OPEN and self._answer is None and not self._blocked:
            try:
                data = self._tls.recv(_RECORD_BYTES)
            except SSL.WantReadError:
                if self._bytes_in > self._hub.limits.silent_tls_bytes:
                    self.abort()
                    return
                break
            except SSL.ZeroReturnError:
                self._close()
                return
            except SSL.Error:
                self._break_off()
                return
            self._bytes_in = 0
            has_data = True
            self._feed(data)
            self._serve()
        # An answer has taken everything along; without one, TLS itself may have something to say.
        if self._state is _State.OPEN and (not has_data or self._parser is not None):
            self._flush()

    def _feed(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = self._spare_parser or RequestParser(self._hub.limits, self._body_bytes)
            self._spare_parser = parser
            self.deadline = self._hub.now() + self._hub.limits.request_seconds
        parser.feed(data)
        if parser.wants_continue:
            parser.wants_continue = False
            self._tls.sendall(CONTINUE)

    def _body_bytes(self, path: str) -> int | None:
        return self._hub.application.body_bytes(cast("S", self._session), path)

    def _serve(self) -> None:
        """Answer whole requests in order until one must wait; then answer a fault, if there is one."""
        parser = self._parser
        has_answered = False
        while parser is not None and self._state is _State.OPEN and self._answer is None and not self._blocked:
            if parser.requests:
                self._handle(parser, parser.requests[0])
                has_answered = True
            elif parser.fault is not None:
                self._refuse(parser.fault.status, parser.fault.detail)
            else:
                if parser.is_between_requests:
                    self._parser = None
                elif has_answered:  # the next request has begun already
                    self.deadline = self._hub.now() + self._hub.limits.request_seconds
                return

    def _handle(self, parser: RequestParser, request: Request) -> None:
        hub = self._hub
        try:
            answer = hub.application.handle(cast("S", self._session), request)
        except Exception as exc:  # noqa: BLE001 - the edge of a request
            hub.report_failed_handler(exc)
            answer = _BROKEN
        if isinstance(answer, Response):
            self._send(parser, request, answer)
            return
        self.deadline = hub.now() + hub.limits.answer_seconds
        self._transport.pause_reading()
        self._answer = asyncio.ensure_future(answer)
        self._answer.add_done_callback(self._answered)

    def _answered(self, future: "asyncio.Future[Response]") -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._hub.report_failed_handler(error)
        if self._state is not _State.OPEN or self._parser is None:
            return
        self._answer = None
        self._send(self._parser, self._parser.requests[0], _BROKEN if error is not None else future.result())
        self._go_on()

    def _send(self, parser: RequestParser, request: Request, answer: Response) -> None:
        hub = self._hub
        parser.requests.pop(0)
        hub.counters.requests += 1
        last = answer.close or not request.keep_alive or hub.is_stopping
        wire = encode_response(answer, date=hub.date, close=last, head_only=request.method == "HEAD")
        try:
            self._tls.sendall(wire)
        except SSL.Error:
            self.abort()
            return
        self.deadline = hub.now() + hub.limits.idle_seconds
        if last:
            self._close()
        else:
            self._flush()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer a fault and close; what the peer still sends is dropped, so that it gets to read the answer."""
        self._hub.counters.faults += 1
        answer = Response(status, detail.encode() + b"\n", close=True)
        self._tls.sendall(encode_response(answer, date=self._hub.date, close=True, head_only=False))
        self._say_goodbye()
        self._state = _State.LINGERING
        self._bytes_in = 0
        self.deadline = self._hub.now() + self._hub.limits.linger_seconds
        if not self._blocked:
            self._transport.resume_reading()
        self._transport.write_eof()

    def _go_on(self) -> None:
        """Continue after a wait: first what is already here, then the socket."""
        self._serve()
        self._read()
        if self._state is _State.OPEN and self._answer is None and not self._blocked:
            self._transport.resume_reading()

    def _extend_deadline(self) -> None:
        limits = self._hub.limits
        busy = self._parser is not None
        self.deadline = self._hub.now() + (limits.request_seconds if busy else limits.idle_seconds)

    def _is_idle(self) -> bool:
        return self._parser is None and self._answer is None and not self._blocked

    # Output.

    def _flush(self) -> None:
        """Hand everything OpenSSL wants to send to the transport, in one write where it fits."""
        parts: list[bytes] = []
        try:
            while not parts or len(parts[-1]) == _RECORD_BYTES:
                parts.append(self._tls.bio_read(_RECORD_BYTES))
        except SSL.WantReadError:  # nothing more
            if not parts:
                return
        self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def _say_goodbye(self) -> None:
        with contextlib.suppress(SSL.Error):  # a broken connection has nothing to say goodbye with
            self._tls.shutdown()
        self._flush()

    def _close(self) -> None:
        self._say_goodbye()
        self._state = _State.LINGERING
        self.deadline = self._hub.now() + self._hub.limits.write_seconds
        self._transport.close()


def _alert_name(exc: SSL.Error) -> str | None:
    """Return the name of the fatal alert a peer sent, read from OpenSSL's reason text, or None."""
    for entry in exc.args[0] if exc.args and isinstance(exc.args[0], list) else []:
        _, found, name = str(entry[-1]).partition(" alert ")
        if found:
            return name.replace(" ", "_")
    return None
