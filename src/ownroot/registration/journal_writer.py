"""Writing the journal for many at once: what comes in while a commit is under way goes into the next one.

A commit waits for the disk once, however many works it carries, and costs about the same: measured, 0.4 to 0.7 ms of
CPU. So a batch waits, not for a timer but for what is on its way, until nearly everybody is in it. Works run on the
event loop, where their requests run too, since each is some tens of microseconds; only the wait for the disk leaves it.

A work that raises is undone alone; a store that fails undoes all of them, and each hears the same. Errors are rare and
savepoints are a good part of what a work costs, so a transaction begins without them; at the first error it is rolled
back and run again from its start, each work with a savepoint this time. The backend's store does likewise
(`storage.group_commit`), made for works that are long and for databases that are far away.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from ownroot.errors import UnavailableError

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], Any]
Result: TypeAlias = tuple[Any, BaseException | None]
Run: TypeAlias = Callable[[sqlite3.Connection, Work], Result]

_log: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 5
# Turns of the loop before a batch leaves: in the first the answers of the last one go out, in the second the requests
# come in that wait for them, and with these the batch is whole.
_TURNS: Final = 2


class _Member(NamedTuple):
    work: Work
    outcome: "asyncio.Future[Any]"


class _WorkFailedError(Exception):
    """A work failed that has no savepoint of its own."""


class JournalWriter:
    """Writes for everyone who runs on one event loop, on one connection that is its alone.

    Args:
        connection: in autocommit mode; its busy timeout is how long we wait for an operator's command.
        committed: called after each commit.
    """

    def __init__(
        self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, *, committed: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._patience_milliseconds = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute("PRAGMA busy_timeout=0")
        self._loop = loop
        self._committed = committed
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal-disk")
        self._waiting: list[_Member] = []
        self._is_under_way = False
        self._is_leaving = False
        self.commits = 0

    async def commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a work and wait until it is on disk. It may run twice, and only what it did the last time counts.

        Raises:
            OwnrootError: what the work raises; UnavailableError `journal-unavailable`.
        """
        outcome: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(_Member(work, outcome))
        self._leave_soon()
        return await outcome

    def commit_from_thread(self, work: Callable[[sqlite3.Connection], T], *, seconds: float) -> T:
        """Do the same for a thread beside the loop. Raises as `commit`, or TimeoutError."""
        return asyncio.run_coroutine_threadsafe(self.commit(work), self._loop).result(seconds)

    def close(self) -> None:
        """Let the last commit reach the disk."""
        self._disk.shutdown()

    def _leave_soon(self) -> None:
        """Go once everything that is ready, or comes in at once, has brought its works: one commit for all of them."""
        if not (self._is_under_way or self._is_leaving):
            self._is_leaving = True
            self._loop.call_soon(self._leave_after, _TURNS)

    def _leave_after(self, turns: int) -> None:
        if turns:
            self._loop.call_soon(self._leave_after, turns - 1)
            return
        self._is_leaving = False
        batch, self._waiting = self._waiting, []
        self._is_under_way = True
        self._begin(batch, _run_bare)

    def _begin(self, batch: Sequence[_Member], run: Run) -> None:
        # Where an operator's command holds the lock, the disk's thread waits for it and not the loop.
        if self._begins_at_once():
            self._write(batch, run, None)
        else:
            self._on_disk(self._begin_patiently, lambda error: self._write(batch, run, error))

    def _begins_at_once(self) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True

    def _begin_patiently(self) -> None:
        self._connection.execute(f"PRAGMA busy_timeout={self._patience_milliseconds}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.execute("PRAGMA busy_timeout=0")

    def _write(self, batch: Sequence[_Member], run: Run, error: BaseException | None) -> None:
        try:
            if error is not None:
                raise error
            results = [run(self._connection, member.work) for member in batch]
        except _WorkFailedError:
            self._connection.rollback()
            self._begin(batch, _run_with_savepoint)
            return
        except Exception as exc:  # noqa: BLE001 - the whole transaction is lost: the disk is full, the file is gone
            self._finish(batch, [], exc)
            return
        self._on_disk(self._commit, lambda error: self._finish(batch, results, error))

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _on_disk(self, step: Callable[[], None], then: Callable[[BaseException | None], None]) -> None:
        def back_to_loop(done: "Future[Any]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left who waits
                self._loop.call_soon_threadsafe(then, done.exception())

        self._disk.submit(step).add_done_callback(back_to_loop)

    def _finish(self, batch: Sequence[_Member], results: list[Result], error: BaseException | None) -> None:
        if error is None:
            self.commits += 1
            self._committed()
        else:
            _log.error("a commit of %d works failed: %r", len(batch), error)
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            # One error object each: every caller raises its own, with a traceback of its own.
            results = [(None, unavailable_because(error)) for _ in batch]
        for member, result in zip(batch, results, strict=True):
            _settle(member.outcome, result)
        self._is_under_way = False
        if self._waiting:
            self._leave_soon()  # behind those who were just woken: what they bring next goes along


def write_now(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run one work in a transaction of its own, on disk on return; for programs without an event loop.

    Raises:
        OwnrootError: what the work raises; UnavailableError `journal-unavailable`.
    """
    with unavailable():
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
    return result


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turn what SQLite says when it cannot serve into our words. Raises UnavailableError `journal-unavailable`."""
    try:
        yield
    except sqlite3.Error as exc:
        raise unavailable_because(exc) from exc


def _run_bare(connection: sqlite3.Connection, work: Work) -> Result:
    """Run a work whose writes nothing can take back but the end of the transaction."""
    try:
        return work(connection), None
    except sqlite3.OperationalError:
        raise  # nobody's work can be kept
    except Exception as exc:
        raise _WorkFailedError from exc


def _run_with_savepoint(connection: sqlite3.Connection, work: Work) -> Result:
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except sqlite3.OperationalError:
        raise  # nobody's work can be kept
    except Exception as exc:  # noqa: BLE001 - handed to whoever sent the work
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        return None, exc
    connection.execute("RELEASE work")
    return result, None


def _settle(outcome: "asyncio.Future[Any]", result: Result) -> None:
    if outcome.done():  # its caller was cancelled; what is committed stays committed
        return
    value, error = result
    if error is None:
        outcome.set_result(value)
    else:
        outcome.set_exception(error)


def unavailable_because(cause: BaseException) -> UnavailableError:
    """Say in our words that SQLite cannot serve."""
    return UnavailableError(
        "journal-unavailable",
        "The journal of this site cannot be written or read, so nothing is registered. Its operator looks at the disk.",
        retry_after=_RETRY_SECONDS,
        context={"cause": str(cause)},
    )
