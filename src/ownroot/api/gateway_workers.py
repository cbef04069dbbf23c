"""Are the gateway workers of this server ready? Each says so on a loopback port of its own."""

import asyncio
import time
from collections.abc import Callable, Sequence

_ANSWER_SECONDS = 1.0
_REMEMBERED_SECONDS = 1.0


class GatewayWorkers:
    """Asks the workers beside this API, none if the gateway runs elsewhere.

    The answer counts for a second, because anybody may ask `/readyz` and each worker has devices to serve.

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

    async def unready(self) -> tuple[int, ...]:
        """Return the numbers of the workers that say they are not ready, or say nothing in time."""
        async with self._asking:
            if self._ticks() >= self._until:
                answers = await asyncio.gather(*(_is_ready(port) for port in self._admin_ports))
                self._unready = tuple(number for number, is_ready in enumerate(answers) if not is_ready)
                self._until = self._ticks() + _REMEMBERED_SECONDS
            return self._unready


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
