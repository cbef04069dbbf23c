"""The asynchronous driver of services that commit more than once (`ownroot.services.steps` has the blocking one).

What a service does between two commits runs on the event loop: a signature takes tens of microseconds, a hop to a
thread and back takes longer. Only the commits are waited for, and their outcomes wake the loop once per commit. What
may take longer (a token that signs) the service hands out as `Aside`, and then threads of our own do it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from ownroot.errors import UnavailableError

Result = TypeVar("Result")

# More do not make one token quicker; fewer leave a fast one waiting for us.
_ASIDE_THREADS = 8
# Behind a token that hangs, requests would pile up for as long as it does.
_MOST_ASIDE = 512
_RETRY_AFTER_SECONDS = 10
# Turns of the loop before a batch leaves: in the first the answers of the last one go out, in the second the requests
# come in that wait for them, and with these the batch is whole.
_TURNS = 2


class Aside(Protocol):
    """Something slow that belongs into no transaction."""

    def run_aside(self) -> Any: ...


Work: TypeAlias = Callable[[Any], Any]
Steps: TypeAlias = Generator[Work | Aside, Any, Result]
Outcome: TypeAlias = tuple[Any, Any, BaseException | None]


class Inbox(Protocol):
    """Takes the outcomes of committed work, on the writer's thread; the same object and ticket that were submitted."""

    def deliver(self, outcomes: Sequence[Outcome]) -> None: ...


class Writer(Protocol):
    """A store that commits pieces of work and delivers their outcomes in batches."""

    def submit(self, work: Work, inbox: Inbox, ticket: object) -> None: ...


class StepRunner:
    """Drives services on one event loop, against one writer.

    The writer commits whatever it finds waiting, at once. Left to that, the callers fall into two groups that take
    turns, each commit carrying half of them; and a commit costs about the same, however many it carries. So what
    comes in during a commit is held back until its outcomes are in, their services have run on and what their answers
    called forth has come too, and both halves go into the next one together. Nobody waits for a timer: a turn of the
    loop is as long as what is ready in it takes, and with nothing else to do, microseconds.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: list[tuple[Work, _Run[Any]]] = []
        self._under_way = 0
        self._is_leaving = False
        self._aside = 0
        self._threads = ThreadPoolExecutor(_ASIDE_THREADS, thread_name_prefix="aside")  # started when first needed

    async def run(self, steps: Steps[Result]) -> Result:
        """Drive a service to its end from a coroutine.

        The service runs on when its caller is cancelled: between "recorded" and "answered" there is no good place to
        stop.

        Raises:
            OwnrootError: whatever the service lets out; errors of a work are thrown into the service first.
        """
        run: _Run[Result] = _Run(self, steps, asyncio.get_running_loop())
        run.start()
        return await run.done

    def submit(self, work: Work | Aside, run: "_Run[Any]") -> None:
        """Hand over a service's next work."""
        if hasattr(work, "run_aside"):  # not isinstance: of a protocol that takes as long as half a signature
            self._set_aside(work, run)
            return
        self._waiting.append((work, run))
        self._leave_soon(run.loop)

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Take outcomes from the writer's thread to the loop."""
        # A loop that is closed has nobody left who waits; what was committed stays committed.
        with contextlib.suppress(RuntimeError):
            outcomes[0][0].loop.call_soon_threadsafe(self._resume, outcomes)

    def _set_aside(self, work: Aside, run: "_Run[Any]") -> None:
        if self._aside >= _MOST_ASIDE:
            run.loop.call_soon(run.resume, None, _too_many_aside())
            return
        self._aside += 1

        def bring_back(done: "Future[Any]") -> None:
            with contextlib.suppress(RuntimeError):  # as in `deliver`
                run.loop.call_soon_threadsafe(self._resume_from_aside, run, done)

        self._threads.submit(work.run_aside).add_done_callback(bring_back)

    def _resume_from_aside(self, run: "_Run[Any]", done: "Future[Any]") -> None:
        self._aside -= 1
        error = done.exception()
        run.resume(None if error is not None else done.result(), error)

    def _resume(self, outcomes: Sequence[Outcome]) -> None:
        self._under_way -= len(outcomes)
        for run, result, error in outcomes:
            run.resume(result, error)
        if self._waiting:
            self._leave_soon(self._waiting[0][1].loop)

    def _leave_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not (self._under_way or self._is_leaving):
            self._is_leaving = True
            loop.call_soon(self._leave_after, _TURNS, loop)

    def _leave_after(self, turns: int, loop: asyncio.AbstractEventLoop) -> None:
        if turns:
            loop.call_soon(self._leave_after, turns - 1, loop)
            return
        self._is_leaving = False
        batch, self._waiting = self._waiting, []
        self._under_way += len(batch)
        for work, run in batch:
            self._writer.submit(work, self, run)


class _Run(Generic[Result]):
    """A service under way; the ticket of its works."""

    __slots__ = ("_runner", "_steps", "done", "loop")

    def __init__(self, runner: StepRunner, steps: Steps[Result], loop: asyncio.AbstractEventLoop) -> None:
        self._runner = runner
        self._steps = steps
        self.loop = loop
        self.done: asyncio.Future[Result] = loop.create_future()

    def start(self) -> None:
        self._advance(lambda: next(self._steps))

    def resume(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self._advance(lambda: self._steps.send(result))
        else:
            self._advance(lambda: self._steps.throw(error))

    def _advance(self, step: Callable[[], Work | Aside]) -> None:
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
            self._runner.submit(work, self)


def _too_many_aside() -> UnavailableError:
    return UnavailableError(
        "too-many-waiting",
        f"{_MOST_ASIDE} requests wait for the server's key store already. Try again later.",
        retry_after=_RETRY_AFTER_SECONDS,
    )
