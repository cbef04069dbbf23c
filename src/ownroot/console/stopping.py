"""SIGTERM and SIGINT as a wish to end, for programs that run until somebody ends them.

The wish is granted at once where nothing can be left half done, such as while waiting or asking a server, and
otherwise at the program's next look.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Self


class StopWished(BaseException):
    """Ends the block in which the wish came. No fault, so nothing that handles faults handles it."""


class Stopping:
    """Listens for the wish; make it in the main thread."""

    def __init__(self) -> None:
        self._wished = Event()
        self._at_once = False

    @classmethod
    @contextmanager
    def on_signals(cls) -> Iterator[Self]:
        """Take the two signals until the end of the block; a wish ends the block without an error."""
        stopping = cls()
        before = {number: signal.signal(number, stopping._hear) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield stopping
        except StopWished:
            pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Do something that may be left in the middle.

        Raises:
            StopWished: the wish came, now or before.
        """
        self._at_once = True
        try:
            if self._wished.is_set():
                raise StopWished
            yield
        finally:
            self._at_once = False

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            StopWished: the wish came, now or before.
        """
        if self._wished.wait(seconds):
            raise StopWished

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._wished.set()
        if self._at_once:
            raise StopWished
