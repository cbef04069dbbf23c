"""The asynchronous driver of services that commit more than once (`ownroot.services.steps` has the blocking one).

What a service does between two commits runs on the event loop: a signature takes tens of microseconds, a hop to a
thread and back takes longer. Only the commits are waited for, and the outcomes of one commit wake the loop once,
however many callers wait for it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

Result = TypeVar("Result")

Steps: TypeAlias = Generator[Callable[[Any], Any], Any, Result]
Outcome: TypeAlias = tuple[Any, Any, BaseException | None]


@dataclass(frozen=True, slots=True)
class LoopInbox:
    """Takes outcomes from the writer's thread to an event loop; all inboxes of one loop are equal."""

    loop: asyncio.AbstractEventLoop

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Wake the loop once for all of them."""
        # A loop that is closed has nobody left who waits; what was committed stays committed.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_resume_all, outcomes)


class Writer(Protocol):
    """A store that commits pieces of work and delivers their outcomes in batches."""

    def submit(self, work: Callable[[Any], Any], inbox: LoopInbox, ticket: object) -> None: ...


async def run_async(steps: Steps[Result], writer: Writer) -> Result:
    """Drive a service to its end from a coroutine.

    The service runs on when its caller is cancelled: between "recorded" and "answered" there is no good place to stop.

    Raises:
        OwnrootError: whatever the service lets out; errors of a work are thrown into the service first.
    """
    loop = asyncio.get_running_loop()
    run: _Run[Result] = _Run(steps, writer, LoopInbox(loop), loop.create_future())
    run.start()
    return await run.done


class _Run(Generic[Result]):
    """A service under way; the ticket of its works."""

    __slots__ = ("_inbox", "_steps", "_writer", "done")

    def __init__(self, steps: Steps[Result], writer: Writer, inbox: LoopInbox, done: "asyncio.Future[Result]") -> None:
        self._steps = steps
        self._writer = writer
        self._inbox = inbox
        self.done = done

    def start(self) -> None:
        self._advance(lambda: next(self._steps))

    def resume(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self._advance(lambda: self._steps.send(result))
        else:
            self._advance(lambda: self._steps.throw(error))

    def _advance(self, step: Callable[[], Callable[[Any], Any]]) -> None:
        """Run to the next commit or to the end."""
        try:
            work = step()
        except StopIteration as stop:
            if not self.done.done():
                self.done.set_result(stop.value)
        except Exception as error:  # noqa: BLE001  (raised again where the service is awaited)
            if not self.done.done():
                self.done.set_exception(error)
        else:
            self._writer.submit(work, self._inbox, self)


def _resume_all(outcomes: Sequence[Outcome]) -> None:
    for run, result, error in outcomes:
        run.resume(result, error)
