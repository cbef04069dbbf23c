"""The worker's end of the issuing desk (docs/adr/0012): a worker holds no CA key, so it asks a process that does.

One connection, opened when it is first needed, carries every question of this worker. While the desk is away a question
fails at once: the device comes again, and gets the same certificate if it had been issued already.
"""

import asyncio
import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError, UnavailableError
from ownroot.wire.issuing_desk import (
    LENGTH_OCTETS,
    RenewalAnswer,
    RenewalQuestion,
    frame,
    message_octets,
    parse_message,
)

# A worker that has more under way only keeps devices waiting; they are told to come later instead.
_MOST_UNDER_WAY: Final = 256
_ANSWER_SECONDS: Final = 20.0  # below the time limit of a request at the gateway
_AWAY_RETRY_SECONDS: Final = (5, 30)
_FAMILIES: Final[Mapping[str, type[OwnrootError]]] = {
    family.__name__: family for family in (InvalidInputError, RefusedError, KeyStoreError)
}


class IssuingDesk:
    """Asks the desk.

    Attributes:
        fault: why the last question could not be asked, for readiness; empty if it could.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[RenewalAnswer]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self.fault = ""

    async def renew(self, factory_id: int, certificate_der: bytes, csr_der: bytes, *, peer: str) -> bytes:
        """Return the new certificate, DER.

        Raises:
            InvalidInputError, RefusedError, KeyStoreError: as `services.renew_device`.
            UnavailableError: as there; `renewals-busy`; `issuing-desk-away`: whether a certificate was issued is not
                known, and asking again finds out.
        """
        if len(self._pending) >= _MOST_UNDER_WAY:
            raise UnavailableError(
                "renewals-busy", "Many devices renew at this moment. Try later.", retry_after=_later()
            )
        question = RenewalQuestion(next(self._numbers), factory_id, certificate_der, csr_der, peer)
        answer: asyncio.Future[RenewalAnswer] = asyncio.get_running_loop().create_future()
        self._pending[question.number] = answer
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._send(frame(question))
                return _certificate(await answer)
        except (OSError, TimeoutError) as exc:
            raise self._away(exc) from exc
        finally:
            self._pending.pop(question.number, None)

    async def close(self) -> None:
        """Let go of the connection; questions under way fail."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _send(self, message: bytes) -> None:
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(str(self._socket))
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            writer = self._writer
        writer.write(message)
        await writer.drain()
        self.fault = ""

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand out answers until the connection ends, however it ends."""
        try:
            while True:
                octets = message_octets(await reader.readexactly(LENGTH_OCTETS))
                answer = parse_message(await reader.readexactly(octets), RenewalAnswer)
                waiting = self._pending.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except (OSError, EOFError, InvalidInputError):
            pass  # what it means is said to each of those who wait
        finally:
            self._writer = None
            writer.close()
            for waiting in self._pending.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError("the issuing desk ended the connection"))

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


def _certificate(answer: RenewalAnswer) -> bytes:
    if not answer.family:
        return answer.certificate_der
    family = _FAMILIES.get(answer.family)
    if family is None:
        raise UnavailableError(answer.code, answer.detail, retry_after=answer.retry_after or _later())
    raise family(answer.code, answer.detail)
