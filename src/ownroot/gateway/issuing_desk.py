"""The worker's end of the issuing desk (docs/adr/0014): a worker holds no CA key, so it asks a process that does.

One connection, opened when it is first needed, carries every question of this worker. While the desk is away a question
fails at once: the device comes again, and gets the same certificate if it had been issued already.
"""

import asyncio
import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError, UnavailableError
from ownroot.web.socket_paths import socket_address
from ownroot.wire.issuing_desk import RenewalAnswer, RenewalQuestion, Unframer, frame, parse_message

# A worker that has more under way only keeps devices waiting; they are told to come later instead.
_MOST_UNDER_WAY: Final = 256
_ANSWER_SECONDS: Final = 20.0  # below the time limit of a request at the gateway
_AWAY_RETRY_SECONDS: Final = (5, 30)
_FAMILIES: Final[Mapping[str, type[OwnrootError]]] = {
    family.__name__: family for family in (InvalidInputError, RefusedError, KeyStoreError)
}


class _Line(asyncio.Protocol):
    """One connection to the desk, and who waits for an answer over it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unframer = Unframer()
        self._waiting: dict[int, asyncio.Future[RenewalAnswer]] = {}
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._unframer.feed(data):
                answer = parse_message(message, RenewalAnswer)
                waiting = self._waiting.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except InvalidInputError:
            self.close()  # what that means is said to each of those who wait

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("it ended the connection"))

    async def ask(self, question: RenewalQuestion) -> RenewalAnswer:
        """Raises OSError when the connection ends before the answer is here."""
        if not self.is_open:  # lost while somebody else waited for it to be made
            raise ConnectionResetError("it ended the connection")
        waiting: asyncio.Future[RenewalAnswer] = self._loop.create_future()
        self._waiting[question.number] = waiting
        try:
            self._transport.write(frame(question))
            return await waiting
        finally:
            del self._waiting[question.number]

    def close(self) -> None:
        self.is_open = False
        self._transport.close()


class IssuingDesk:
    """Asks the desk.

    Attributes:
        fault: why the last question was not answered, for readiness; empty if it was.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()
        self._under_way = 0
        self.fault = ""

    async def renew(self, factory_id: int, certificate_der: bytes, csr_der: bytes, *, peer: str) -> RenewalAnswer:
        """Return an answer that holds the new certificate.

        Raises:
            InvalidInputError, RefusedError, KeyStoreError: as `services.renew_device`.
            UnavailableError: as there; `renewals-busy`; `issuing-desk-away`: whether a certificate was issued is not
                known, and asking again finds out.
        """
        if self._under_way >= _MOST_UNDER_WAY:
            raise UnavailableError(
                "renewals-busy", "Many devices renew at this moment. Try later.", retry_after=_later()
            )
        question = RenewalQuestion(next(self._numbers), factory_id, certificate_der, csr_der, peer)
        self._under_way += 1
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                line = await self._open_line()
                answer = await line.ask(question)
        except (OSError, TimeoutError) as exc:
            raise self._away(exc) from exc
        finally:
            self._under_way -= 1
        self.fault = ""
        return _require_certificate(answer)

    def close(self) -> None:
        """Let go of the connection; questions under way fail."""
        if self._line is not None:
            self._line.close()

    async def _open_line(self) -> _Line:
        if self._line is not None and self._line.is_open:
            return self._line
        async with self._connecting:
            if self._line is None or not self._line.is_open:
                loop = asyncio.get_running_loop()
                with socket_address(self._socket) as address:
                    _, self._line = await loop.create_unix_connection(_Line, address)
            return self._line

    def _away(self, exc: Exception) -> UnavailableError:
        self.fault = f"certificates are not renewed, the issuing desk at {self._socket} is away: {exc or 'no answer'}"
        return UnavailableError(
            "issuing-desk-away",
            "The part of the server that signs certificates does not answer. Try later.",
            retry_after=_later(),
        )


def _later() -> int:
    """Not the same for everybody, or all come back together."""
    return random.randint(*_AWAY_RETRY_SECONDS)


def _require_certificate(answer: RenewalAnswer) -> RenewalAnswer:
    if not answer.family:
        return answer
    family = _FAMILIES.get(answer.family)
    if family is None:
        raise UnavailableError(answer.code, answer.detail, retry_after=answer.retry_after or _later())
    raise family(answer.code, answer.detail)
