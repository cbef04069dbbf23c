"""The asynchronous driver of services that commit more than once (`ownroot.services.steps` has the blocking one).

What a service does between two commits runs on the event loop: a signature takes tens of microseconds, a hop to a
thread and back takes longer. Only the commits are waited for.
"""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Writer(Protocol):
    """A store that commits pieces of work; the future is done once the commit is."""

    def write(self, work: Callable[[Any], Any]) -> "Future[Any]": ...


async def run_async(steps: Generator[Callable[[Any], Any], Any, Result], writer: Writer) -> Result:
    """Drive a service to its end from a coroutine.

    A cancelled caller stops waiting; the work already queued is committed or not, and what it left open is found by
    the recovery at the next start.

    Raises:
        OwnrootError: whatever the service lets out; errors of a work are thrown into the service first.
    """
    try:
        work = next(steps)
        while True:
            try:
                result = await asyncio.wrap_future(writer.write(work))
            except Exception as error:  # noqa: BLE001  (handed to the service, which decides)
                work = steps.throw(error)
            else:
                work = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
