"""Writers of several processes, one after the other, in turn.

SQLite lets a waiting writer sleep and try again, up to 100 ms apart. A busy process that commits back to back leaves
gaps of microseconds, so the others would hardly ever meet one and starve until their time is up. Two locks in a row
give everyone a turn: whoever waits for the second one holds the first, and the one who has just finished must queue
for the first again.

The locks are advisory and the kernel drops them with the process, however it ends. A program that does not know them
is still kept out by SQLite's own lock.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.000_5


class TurnTimeoutError(Exception):
    """Another process did not finish its turn in time; never leaves this package."""


class Turnstile:
    """The two locks of one database file.

    Args:
        database: path of the database; the lock files lie beside it, mode 0600.
        timeout_seconds: how long a turn is waited for.
        clock: a monotonic one.
    """

    def __init__(self, database: Path, *, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._next = _open_lock(database.with_name(database.name + "-next"))
        self._turn = _open_lock(database.with_name(database.name + "-turn"))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn.

        Raises:
            TurnTimeoutError: somebody else kept it for too long.
        """
        deadline = self._clock() + self._timeout_seconds
        self._acquire(self._next, deadline)
        try:
            self._acquire(self._turn, deadline)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._next)
        os.close(self._turn)

    def _acquire(self, lock: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock() >= deadline:
                    raise TurnTimeoutError("another process has been writing for too long") from None
                time.sleep(_POLL_SECONDS)
            else:
                return


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
