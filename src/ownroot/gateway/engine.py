"""The listener of one worker: accepts connections, watches their deadlines, stops without cutting answers short."""

import asyncio
from typing import Generic

from ownroot.gateway.application import S
from ownroot.gateway.connection import TlsConnection
from ownroot.gateway.hub import Hub

_BACKLOG = 4096


class Engine(Generic[S]):
    """Serves the application of one hub on one socket."""

    def __init__(self, hub: Hub[S]) -> None:
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; other workers may listen on the same port. Returns the address really bound."""
        self._server = await self._loop.create_server(
            lambda: TlsConnection(self._hub), host, port, reuse_port=True, reuse_address=True, backlog=_BACKLOG
        )
        self._tick()
        name = self._server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def stop(self, *, grace_seconds: float) -> None:
        """Accept no more, let requests in progress end within the grace time, cut the rest."""
        self._hub.is_stopping = True
        if self._server is not None:
            self._server.close()
        for connection in self._hub:
            connection.close_when_idle()
        end = self._loop.time() + grace_seconds
        while len(self._hub) and self._loop.time() < end:
            await asyncio.sleep(0.02)
        for connection in self._hub:
            connection.abort()
        while len(self._hub):
            await asyncio.sleep(0)
        if self._ticking is not None:
            self._ticking.cancel()

    def _tick(self) -> None:
        self._hub.tick()
        self._ticking = self._loop.call_later(1.0, self._tick)
