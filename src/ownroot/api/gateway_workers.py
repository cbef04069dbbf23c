"""What the gateway workers of this server say of themselves, each on a loopback port of its own."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence

from prometheus_client.parser import text_string_to_metric_families

_ANSWER_SECONDS = 1.0
_REMEMBERED_SECONDS = 1.0
_MAX_ANSWER_BYTES = 256 * 1024
_TIME_TO_REVOKE = "ownroot_gateway_time_to_revoke_seconds_bucket"


class GatewayWorkers:
    """Asks the workers beside this API, none if the gateway runs elsewhere.

    Readiness counts for a second, because anybody may ask `/readyz` and each worker has devices to serve.

    Args:
        admin_ports: worker 0 first.
        ticks: seconds that only grow.
    """

    def __init__(self, admin_ports: Sequence[int], *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._admin_ports = tuple(admin_ports)
        self._ticks = ticks
        self._asking = asyncio.Lock()
        self._unready: tuple[int, ...] = ()
        self._until = float("-inf")

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self._admin_ports)

    async def unready(self) -> tuple[int, ...]:
        """Return the numbers of the workers that say they are not ready, or say nothing in time."""
        async with self._asking:
            if self._ticks() >= self._until:
                answers = await asyncio.gather(*(_is_ready(port) for port in self._admin_ports))
                self._unready = tuple(number for number, is_ready in enumerate(answers) if not is_ready)
                self._until = self._ticks() + _REMEMBERED_SECONDS
            return self._unready

    async def time_to_revoke(self) -> tuple[tuple[float, int], ...]:
        """Return how many changes cut their connections within so many seconds: cumulative, the last bound infinite.

        All workers together, each since its start; one that does not answer counts for nothing.
        """
        answers = await asyncio.gather(*(_ask(port, "/metrics") for port in self._admin_ports))
        totals: Counter[float] = Counter()
        for answer in answers:
            totals.update(_revocation_buckets(answer.partition(b"\r\n\r\n")[2]))
        return tuple(sorted(totals.items()))


async def _is_ready(port: int) -> bool:
    return (await _ask(port, "/readyz")).split(b" ", 2)[1:2] == [b"200"]


async def _ask(port: int, path: str) -> bytes:
    """Return the whole answer, head and body; nothing if there was none in time."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                return await _read_to_end(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while len(answer) <= _MAX_ANSWER_BYTES and (piece := await reader.read(_MAX_ANSWER_BYTES)):
        answer += piece
    return answer


def _revocation_buckets(metrics: bytes) -> dict[float, int]:
    return {
        math.inf if sample.labels["le"] == "+Inf" else float(sample.labels["le"]): int(sample.value)
        for family in text_string_to_metric_families(metrics.decode("utf-8", "replace"))
        for sample in family.samples
        if sample.name == _TIME_TO_REVOKE
    }
