"""HTTP/1.1 on the API's sockets: uvicorn's protocol with the limits it leaves to a front.

The head of a request must arrive within a time and stay below a size, a body nobody waits for any more is not read for
ever, and answers must be taken; whatever is not HTTP gets the same JSON body as every other failure.
"""

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ownroot.web.peer import note_client_certificate, verified_common_name
from ownroot.wire.documents import write_document
from ownroot.wire.errors import ErrorBody

MAX_HEAD_BYTES: Final = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """One connection. `_head_bytes` counts the pieces that held some of the present head, and perhaps more.

    Attributes:
        head_seconds: from the first byte of a head to its last.
        leftover_seconds: for the rest of a body whose request is answered already, usually with a refusal.
        write_seconds: for the peer to take what waits for it.
    """

    head_seconds: ClassVar[float] = 20.0
    leftover_seconds: ClassVar[float] = 20.0
    write_seconds: ClassVar[float] = 60.0

    _head_timer: asyncio.TimerHandle | None = None
    _leftover_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None
    _head_bytes = 0
    _in_head = True
    _requests = 0
    _is_head_too_large = False
    _peer_name = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is not kept."""
        super().connection_made(transport)
        self._peer_name = verified_common_name(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks, and write no answer to a connection that is gone: uvicorn forgets pipelined ones."""
        self.pipeline.clear()
        if self._answering is not None:
            self._answering.disconnected = True
        self._stop_timer()
        _stop(self._leftover_timer)
        _stop(self._write_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless a head has grown past all reason."""
        requests = self._requests
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._expect_head()
        super().data_received(data)
        if self._in_head and requests == self._requests and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Let the request know whose connection it came over."""
        super().on_message_begin()
        note_client_certificate(self.scope, self._peer_name)

    def on_headers_complete(self) -> None:
        """The head is in: its time no longer runs, its size is known."""
        self._in_head = False
        self._stop_timer()
        if self._head_bytes > MAX_HEAD_BYTES and self._head_size() > MAX_HEAD_BYTES:
            self._is_head_too_large = True
            raise ValueError("head too large")  # the parser stops and calls `send_400_response`
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows belongs to the next head; its clock starts with its first byte."""
        self._in_head, self._head_bytes = True, 0
        self._requests += 1
        _stop(self._leftover_timer)
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """If the body of the answered request is still on its way, its clock starts."""
        super().on_response_complete()
        if not self._in_head and self.cycle.response_complete and not self.transport.is_closing():
            self._leftover_timer = self.loop.call_later(self.leftover_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        """Output waits for the peer, who has so long to take it."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer took it."""
        _stop(self._write_timer)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection is closed; if the peer has not even taken the last answer, closing would wait for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it."""
        if self._is_head_too_large:
            self._refuse_head()
        else:
            self._refuse(400, "Bad Request", msg)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(408, "Request Timeout", "The request's header did not arrive in time.")
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        _stop(self._head_timer)
        self._head_timer = None

    def _refuse_head(self) -> None:
        self._refuse(431, "Request Header Fields Too Large", "The request's header is too large.")

    def _refuse(self, status: int, reason: str, message: str) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        body = write_document(ErrorBody(message=message, code="bad-http"))
        head = (
            f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def server_options() -> dict[str, Any]:
    """Return what uvicorn must be told besides the application and where to listen."""
    return {
        "http": BoundedHttp,
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 60,
        "timeout_graceful_shutdown": 4,
        "backlog": 2048,
    }
