"""A closed-loop HTTP/1.1 load generator on raw sockets: each client waits for its answer before it asks again.

It parses no more of an answer than it must (status, length), so that one core of it can load one core of server.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Load:
    """What one run of load saw. Latencies in seconds, in the order of the answers; `bodies` of the 2xx answers."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def succeeded(self) -> int:
        return len(self.bodies)

    @property
    def rate(self) -> float:
        """Successes per second."""
        return self.succeeded / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in seconds that this share of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run_load(address: tuple[str, int], requests: Iterator[bytes], *, clients: int, seconds: float) -> Load:
    """Send requests over so many kept-alive connections for so long; what is on its way at the end is waited for.

    Raises:
        RuntimeError: the server closed a connection, or the requests ran out.
    """
    return asyncio.run(_run(address, requests, clients, seconds))


async def _run(address: tuple[str, int], requests: Iterator[bytes], clients: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    load = Load()
    started = time.perf_counter()
    workers = [_Client(load, requests, started + seconds) for _ in range(clients)]
    for worker in workers:
        await loop.create_connection(lambda worker=worker: worker, *address)  # type: ignore[misc]
    await asyncio.gather(*(worker.done for worker in workers))
    load.seconds = time.perf_counter() - started
    return load


class _Client(asyncio.Protocol):
    def __init__(self, load: Load, requests: Iterator[bytes], deadline: float) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._requests = requests
        self._deadline = deadline
        self._buffer = bytearray()
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if found and len(body) >= _content_length(head):
            self._buffer.clear()
            self._account(int(head[9:12]), bytes(body))
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"the server closed the connection: {exc}"))

    def _send(self) -> None:
        assert self._transport is not None
        self._sent = time.perf_counter()
        if self._sent >= self._deadline:
            self.done.set_result(None)
            self._transport.close()
            return
        request = next(self._requests, None)
        if request is None:
            self.done.set_exception(RuntimeError("out of requests before the time was up"))
            self._transport.close()
            return
        self._transport.write(request)

    def _account(self, status: int, body: bytes) -> None:
        self._load.statuses[status] += 1
        if 200 <= status < 300:
            self._load.latencies.append(time.perf_counter() - self._sent)
            self._load.bodies.append(body)


def _content_length(head: bytearray) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r")[0])
