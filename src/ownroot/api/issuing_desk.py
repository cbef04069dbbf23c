"""The issuing desk: gateway workers ask here for renewed certificates, since they hold no CA key (docs/adr/0014).

It listens on a Unix socket that our own user alone may open. Even so it believes a worker nothing but what TLS has
proven, the possession of a key; every rule is applied here (`services.renew_device`). What one connection may have
under way is bounded, so that a storm of renewals waits at the gateway and not in our memory.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import structlog

from ownroot.api.backend import Backend
from ownroot.errors import InvalidInputError, OwnrootError, UnavailableError
from ownroot.services.renew_device import RenewalRequest, Renewing, renew_device
from ownroot.web.socket_paths import socket_address
from ownroot.wire.issuing_desk import RenewalAnswer, RenewalQuestion, Unframer, frame, parse_message

_log = structlog.get_logger("ownroot.api")
_MOST_UNDER_WAY: Final = 512
_BACKLOG: Final = 64
_MODE: Final = 0o600


class IssuingDesk:
    """Serves gateway workers of this installation."""

    def __init__(self, backend: Backend, renewing: Renewing, clock: Callable[[], datetime]) -> None:
        self._backend = backend
        self._renewing = renewing
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._path = Path()

    async def start(self, path: Path) -> None:
        """Listen at a path; what is left there by an earlier process is replaced.

        Raises:
            UnavailableError: `issuing-socket`.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Worker(self.decide), sock=_bind(path))
        self._path = path

    def close(self) -> None:
        """Take no more questions; those under way go on as long as the loop does."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def decide(self, question: RenewalQuestion) -> RenewalAnswer:
        """Answer one question; what goes wrong is an answer, too."""
        request = RenewalRequest(question.factory_id, question.certificate_der, question.csr_der, question.peer)
        steps = renew_device(request, renewing=self._renewing, now=self._clock())
        try:
            issued = await self._backend.run(steps)
        except OwnrootError as error:
            retry_after = error.retry_after if isinstance(error, UnavailableError) else 0
            return RenewalAnswer(
                question.number,
                family=type(error).__name__,
                code=error.code,
                detail=error.detail,
                retry_after=retry_after,
            )
        except Exception:  # noqa: BLE001 - the edge of a question
            _log.exception("a renewal failed")
            family, code = UnavailableError.__name__, "renewal-failed"
            return RenewalAnswer(question.number, family=family, code=code, detail="Try later.", retry_after=30)
        return RenewalAnswer(question.number, issued.certificate_der, issued.issuer_der)


class _Worker(asyncio.Protocol):
    """The connection of one gateway worker; what it may have under way is bounded by not reading on."""

    def __init__(self, decide: Callable[[RenewalQuestion], Coroutine[Any, Any, RenewalAnswer]]) -> None:
        self._decide = decide
        self._unframer = Unframer()
        self._under_way: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Begin with every question that is whole. What a worker asked is finished even if it is gone meanwhile."""
        try:
            for message in self._unframer.feed(data):
                task = asyncio.create_task(self._answer(parse_message(message, RenewalQuestion)))
                self._under_way.add(task)
                task.add_done_callback(self._done)
        except InvalidInputError as error:
            _log.error("a gateway worker speaks another language", code=error.code, detail=error.detail)
            self._transport.close()
        if len(self._under_way) >= _MOST_UNDER_WAY:
            self._transport.pause_reading()

    async def _answer(self, question: RenewalQuestion) -> None:
        answer = await self._decide(question)
        if not self._transport.is_closing():
            self._transport.write(frame(answer))

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if len(self._under_way) < _MOST_UNDER_WAY and not self._transport.is_closing():
            self._transport.resume_reading()


def _bind(path: Path) -> socket.socket:
    """Bind under another name first: the socket must not be there before its mode is right."""
    fresh = path.with_name(path.name + ".new")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fresh.unlink(missing_ok=True)
        with socket_address(fresh) as address:
            made.bind(address)
        fresh.chmod(_MODE)
        made.listen(_BACKLOG)
        os.replace(fresh, path)
    except OSError as exc:
        made.close()
        raise UnavailableError(
            "issuing-socket",
            f"Gateway workers cannot be served at {path}: {exc}. "
            "Choose another place with issuing_socket in the settings.",
            retry_after=60,
        ) from exc
    return made
