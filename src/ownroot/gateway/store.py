"""The database, as code on the event loop uses it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ownroot.services.ports import Database, UnitOfWork

T = TypeVar("T")
_READERS = 4


class Store:
    """Reads have threads of their own, few of them: a slow store delays look-ups and never the event loop.

    Both calls raise what the work raises, and UnavailableError when the store is not there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="look-up")

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run in one read transaction."""
        return await self._loop.run_in_executor(self._readers, self._database.read, work)

    async def write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run in the next group commit; returns once that is durable."""
        return await asyncio.wrap_future(self._database.write(work))

    def close(self) -> None:
        """Wait for the look-ups that run; those that still queue are cancelled."""
        self._readers.shutdown(wait=True, cancel_futures=True)
