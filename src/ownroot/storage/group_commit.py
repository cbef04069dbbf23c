"""One thread that writes for everyone: what has come in while a commit was under way goes into the next one.

A commit waits for the disk once, however many members it carries, so durable answers cost little under load and no
timer ever waits for company. An error of the store undoes the whole transaction, and every member hears the same.

An error of a member undoes that member alone. Errors are rare and savepoints are a good part of what a member costs, so
a transaction begins without them; at the first error it is rolled back and run again from its start, each member with a
savepoint this time.

A change of trust is the last member of its transaction. What later works derive from it, and keep beyond their own
transaction, must not rest on something a failed commit can take back.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ownroot.errors import OwnrootError
from ownroot.services.ports import Inbox, Outcome, UnitOfWork
from ownroot.storage.backend import Backend
from ownroot.storage.faults import closed, unavailable
from ownroot.storage.options import StorageOptions
from ownroot.storage.session import Session
from ownroot.storage.unit_of_work import SqlUnitOfWork

_log: Final = logging.getLogger(__name__)

Result: TypeAlias = tuple[Any, BaseException | None]
Run: TypeAlias = Callable[["Member", Session, SqlUnitOfWork], Result]


class Member(NamedTuple):
    """A work and where its outcome goes."""

    work: Callable[[UnitOfWork], Any]
    inbox: Inbox
    ticket: object


class _MemberFailedError(Exception):
    """A member failed that has no savepoint of its own."""


class GroupCommit:
    """The writer of one database in this process.

    Args:
        backend: its `writing` is used by the thread of this object alone.
    """

    def __init__(self, backend: Backend, options: StorageOptions) -> None:
        self._backend = backend
        self._options = options
        self._queue: queue.SimpleQueue[Member | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="ownroot-writer", daemon=True)
        self._thread.start()

    def submit(self, member: Member) -> None:
        """Queue a work. After `close` its outcome is `database-closed`."""
        with self._closing:
            if not self._is_closed:
                self._queue.put(member)
                return
        member.inbox.deliver([(member.ticket, None, closed())])

    def close(self) -> None:
        """Finish what is queued and stop the thread."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._next_batch()
            while batch:
                results = self._commit(batch)
                done, batch = batch[: len(results)], batch[len(results) :]
                _deliver(done, results)

    def _next_batch(self) -> tuple[list[Member], bool]:
        """Wait for one member, then take whatever else is there."""
        batch: list[Member] = []
        member = self._queue.get()
        while member is not None:
            batch.append(member)
            if len(batch) == self._options.members_per_commit:
                return batch, False
            try:
                member = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: Sequence[Member]) -> list[Result]:
        """Return the results of the members at the front that were dealt with; at least one."""
        try:
            try:
                return self._transact(batch, _run_bare)
            except _MemberFailedError:
                return self._transact(batch, _run_with_savepoint)
        except Exception as exc:  # noqa: BLE001  (the edge of this thread: it must outlive whatever the store does)
            cause = exc.__cause__ or exc if isinstance(exc, OwnrootError) else exc
            _log.error("a commit of %d works failed: %r", len(batch), cause)
            # One error object each: every caller raises its own, with a traceback of its own.
            return [(None, unavailable(cause)) for _ in batch]

    def _transact(self, batch: Sequence[Member], run: Run) -> list[Result]:
        with self._backend.writing() as connection:
            session = Session(connection, self._backend.statements, self._backend.driver)
            uow = SqlUnitOfWork(session, self._options, for_update=True)
            uow.heads.lock()
            results = []
            for member in batch:
                results.append(run(member, session, uow))
                if uow.heads.has_new_trust:
                    break
            if uow.heads.finish():
                self._backend.notify(connection)
        return results


def _run_bare(member: Member, session: Session, uow: SqlUnitOfWork) -> Result:
    """Run a member whose writes nothing can take back but the end of the transaction."""
    result, error = _call(member, session, uow)
    if error is not None:
        raise _MemberFailedError from error
    return result, None


def _run_with_savepoint(member: Member, session: Session, uow: SqlUnitOfWork) -> Result:
    mark = uow.heads.mark()
    session.begin_member()
    result, error = _call(member, session, uow)
    if error is None:
        session.keep_member()
        return result, None
    session.undo_member()
    uow.heads.return_to(mark)
    return None, error


def _call(member: Member, session: Session, uow: SqlUnitOfWork) -> Result:
    """Raises what the driver said when the whole transaction is lost."""
    result, error = None, None
    try:
        result = member.work(uow)
    except Exception as exc:  # noqa: BLE001  (handed to whoever sent the work)
        error = exc
    if session.fault is not None:
        if session.is_lost:
            raise session.fault
        error = error or session.fault
    return result, error


def _deliver(batch: Sequence[Member], results: Sequence[Result]) -> None:
    """Hand over the outcomes, everything for one inbox at once."""
    by_inbox: dict[Inbox, list[Outcome]] = {}
    for member, (result, error) in zip(batch, results, strict=True):
        by_inbox.setdefault(member.inbox, []).append((member.ticket, result, error))
    for inbox, outcomes in by_inbox.items():
        try:
            inbox.deliver(outcomes)
        except Exception:  # noqa: BLE001
            _log.exception("an inbox failed; its outcomes are lost, the commit is not")
