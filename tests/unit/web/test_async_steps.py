"""The asynchronous driver: one wake-up per commit, callers that share commits, and no service left half-way."""

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

from ownroot.errors import UnavailableError
from ownroot.web.async_steps import Inbox, Outcome, StepRunner

Steps = Generator[Any, Any, Any]


async def settle() -> None:
    """Let the loop go round until everything that is ready has left."""
    for _ in range(5):
        await asyncio.sleep(0)


class HeldWriter:
    """Commits what was submitted when told to, from another thread, as a database does."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[Any], Any], Inbox, object]] = []
        self.runner = StepRunner(self)

    def submit(self, work: Callable[[Any], Any], inbox: Inbox, ticket: object) -> None:
        self.waiting.append((work, inbox, ticket))

    async def commit(self) -> int:
        """Commit what waits; returns how much that was."""
        batch, self.waiting = self.waiting, []
        if batch:
            await asyncio.to_thread(batch[0][1].deliver, [_outcome(work, ticket) for work, _, ticket in batch])
        await settle()
        return len(batch)


def _outcome(work: Callable[[Any], Any], ticket: object) -> Outcome:
    try:
        return ticket, work(None), None
    except Exception as error:  # noqa: BLE001  (an outcome like any other)
        return ticket, None, error


class Aside:
    """Something slow, as services hand it out."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.run_aside = act


def fail(_uow: object) -> None:
    raise ValueError("refused")


def add_twice(log: list[str]) -> Steps:
    first = yield lambda _: 1
    log.append("first")
    second = yield lambda _: 2
    log.append("second")
    return first + second


def one_step() -> Steps:
    return (yield lambda _: 1)


async def begin(steps: Steps, writer: HeldWriter) -> "asyncio.Task[Any]":
    task = asyncio.ensure_future(writer.runner.run(steps))
    await settle()
    return task


def test_service_is_resumed_with_the_result_of_each_commit() -> None:
    async def scenario() -> None:
        writer, log = HeldWriter(), []
        task = await begin(add_twice(log), writer)
        await writer.commit()
        assert log == ["first"]
        await writer.commit()
        assert await task == 3

    asyncio.run(scenario())


def test_error_of_a_work_is_thrown_into_the_service() -> None:
    def recover() -> Steps:
        try:
            yield fail
        except ValueError:
            return (yield lambda _: "recorded the refusal")

    async def scenario() -> None:
        writer = HeldWriter()
        task = await begin(recover(), writer)
        await writer.commit()
        await writer.commit()
        assert await task == "recorded the refusal"

    asyncio.run(scenario())


def test_error_the_service_lets_out_reaches_the_caller() -> None:
    async def scenario() -> None:
        writer = HeldWriter()
        task = await begin((step for step in [fail]), writer)
        await writer.commit()
        with pytest.raises(ValueError, match="refused"):
            await task

    asyncio.run(scenario())


def test_service_that_writes_nothing_just_answers() -> None:
    def answer() -> Steps:
        return "at once"
        yield fail

    assert asyncio.run(HeldWriter().runner.run(answer())) == "at once"


def test_outcomes_of_one_commit_wake_the_loop_once() -> None:
    class CountingLoop(asyncio.SelectorEventLoop):
        wake_ups = 0

        def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:
            self.wake_ups += 1
            return super().call_soon_threadsafe(*args, **options)

    async def scenario() -> None:
        writer = HeldWriter()
        tasks = [asyncio.ensure_future(writer.runner.run(add_twice([]))) for _ in range(50)]
        await settle()
        loop.wake_ups = 0
        outcomes: Sequence[Outcome] = [_outcome(work, ticket) for work, _, ticket in writer.waiting]
        inbox, writer.waiting = writer.waiting[0][1], []
        inbox.deliver(outcomes)
        assert loop.wake_ups == 1
        await settle()
        assert await writer.commit() == 50
        assert await asyncio.gather(*tasks) == [3] * 50

    loop = CountingLoop()
    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()


def test_cancelled_caller_leaves_no_service_half_way() -> None:
    async def scenario() -> None:
        writer, log = HeldWriter(), []
        task = await begin(add_twice(log), writer)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await writer.commit()
        await writer.commit()
        assert log == ["first", "second"]

    asyncio.run(scenario())


def test_what_comes_in_during_a_commit_shares_the_next_one_with_those_it_carried() -> None:
    async def scenario() -> None:
        writer = HeldWriter()
        first = await begin(add_twice([]), writer)
        (under_way,) = writer.waiting
        second = await begin(add_twice([]), writer)
        assert writer.waiting == [under_way]
        assert [await writer.commit() for _ in range(4)] == [1, 2, 1, 0]
        assert (await first, await second) == (3, 3)

    asyncio.run(scenario())


def test_what_an_answer_calls_forth_goes_along_with_the_next_commit() -> None:
    async def ask_again(writer: HeldWriter, first: "asyncio.Task[Any]", turns: int) -> None:
        await first
        for _ in range(turns):
            await asyncio.sleep(0)
        await writer.runner.run(add_twice([]))

    async def second_commit(turns: int) -> int:
        writer = HeldWriter()
        answered = await begin(one_step(), writer)
        await begin(add_twice([]), writer)
        asking = asyncio.ensure_future(ask_again(writer, answered, turns))
        await writer.commit()  # the first work alone: the second came in while it was under way
        carried = len(writer.waiting)
        asking.cancel()
        return carried

    assert asyncio.run(second_commit(turns=1)) == 2
    assert asyncio.run(second_commit(turns=9)) == 1  # nobody waits for ever


def test_runner_serves_on_after_a_service_that_failed() -> None:
    async def scenario() -> None:
        writer = HeldWriter()
        failed = await begin((step for step in [fail]), writer)
        assert await writer.commit() == 1
        assert isinstance((await asyncio.gather(failed, return_exceptions=True))[0], ValueError)
        task = await begin(add_twice([]), writer)
        assert [await writer.commit() for _ in range(2)] == [1, 1]
        assert await task == 3

    asyncio.run(scenario())


def test_what_is_slow_is_done_on_another_thread_and_no_commit_waits_for_it() -> None:
    async def scenario() -> None:
        writer, token = HeldWriter(), threading.Event()

        def sign() -> Steps:
            thread = yield Aside(lambda: token.wait(10) and threading.current_thread())
            return (yield lambda _: thread)

        slow = await begin(sign(), writer)
        quick = await begin(add_twice([]), writer)
        assert [await writer.commit() for _ in range(2)] == [1, 1]
        assert await quick == 3
        token.set()
        while not writer.waiting:
            await asyncio.sleep(0)
        await writer.commit()
        assert await slow is not threading.current_thread()

    asyncio.run(scenario())


def test_error_of_what_is_done_aside_is_thrown_into_the_service() -> None:
    def recover() -> Steps:
        try:
            yield Aside(lambda: fail(None))
        except ValueError:
            return "the token is away"

    assert asyncio.run(HeldWriter().runner.run(recover())) == "the token is away"


def test_behind_something_that_hangs_no_endless_queue_forms() -> None:
    async def scenario() -> None:
        writer, token = HeldWriter(), threading.Event()

        def sign() -> Steps:
            return (yield Aside(lambda: token.wait(30)))

        waiting = [await begin(sign(), writer) for _ in range(512)]
        with pytest.raises(UnavailableError) as refused:
            await writer.runner.run(sign())
        assert refused.value.code == "too-many-waiting"
        token.set()
        assert await asyncio.gather(*waiting) == [True] * 512
        assert await writer.runner.run(sign()) is True

    asyncio.run(scenario())


def test_outcome_for_a_closed_loop_is_dropped() -> None:
    writer = HeldWriter()

    async def leave_early() -> None:
        await begin(add_twice([]), writer)

    asyncio.run(leave_early())
    ((work, inbox, ticket),) = writer.waiting
    inbox.deliver([_outcome(work, ticket)])
