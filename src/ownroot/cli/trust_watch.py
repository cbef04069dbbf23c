"""The terminal side of `trust watch`: poll, write what changed, reload who reads it, until somebody ends it.

A poll and a reload are due at times of their own, and a failure puts off its own kind alone. What was written before
stays until something verified replaces it. What has never worked ends the program, so that a mistyped service does not
look alive; what has worked is tried again for ever.
"""

import random
import time
from dataclasses import dataclass
from typing import Final

from ownroot.cli.trust_directory import TrustDirectory
from ownroot.cli.trust_events import WatchEvents
from ownroot.cli.trust_files import TrustedCa
from ownroot.cli.trust_reload import ReloadCommand
from ownroot.cli.trust_source import TrustSource
from ownroot.console.stopping import Stopping
from ownroot.errors import OwnrootError, UnavailableError

LONGEST_SECONDS: Final = 300.0
_RELOAD_FIRST_SECONDS: Final = 1.0
# Beyond this many failures the wait has long been the longest one.
_MOST_DOUBLINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait: `first_seconds`, doubled by each failure in a row, at most `longest_seconds`."""

    first_seconds: float
    longest_seconds: float

    def after(self, failures: int) -> float:
        """Return the seconds until the next try, before jitter."""
        return min(self.first_seconds * 2.0 ** min(failures, _MOST_DOUBLINGS), self.longest_seconds)


class TrustWatch:
    """Keeps one directory as the factory's trust is. Whoever uses it holds the directory.

    Args:
        interval_seconds: between two polls, with a tenth of jitter; how long a revoked CA may go on.
        reload: None: nobody has to be told.
    """

    def __init__(
        self,
        source: TrustSource,
        directory: TrustDirectory,
        events: WatchEvents,
        *,
        reload: ReloadCommand | None,
        interval_seconds: float,
    ) -> None:
        self._source = source
        self._directory = directory
        self._events = events
        self._reload = reload
        self._poll_pace = Pace(interval_seconds, max(interval_seconds, LONGEST_SECONDS))
        self._reload_pace = Pace(_RELOAD_FIRST_SECONDS, LONGEST_SECONDS)
        self._has_worked = False
        self._poll_failures = self._reload_failures = 0

    def once(self) -> None:
        """Poll once, and reload if that is due.

        Raises:
            OwnrootError: the poll's; `trust-reload-failed` (UnavailableError): the next run tries again.
        """
        self._take_over(self._source.ask(self._source.access()))
        if self._is_reload_due and not self._try_reload(retry_seconds=None):
            raise UnavailableError(
                "trust-reload-failed",
                "The files are written; the program that reads them was not told. The next run tries again.",
                retry_after=round(_RELOAD_FIRST_SECONDS),
            )

    def follow(self, stopping: Stopping) -> None:
        """Go on until the wish to stop.

        Raises:
            StopWished: between two steps; no file is half written.
            OwnrootError: the first poll that was answered failed.
        """
        poll_at = reload_at = time.monotonic()
        while True:
            if time.monotonic() >= poll_at:
                poll_at = time.monotonic() + self._poll(stopping)
            if self._is_reload_due and time.monotonic() >= reload_at:
                reload_at = time.monotonic() + self._reload_now()
            due = min(poll_at, reload_at) if self._is_reload_due else poll_at
            stopping.sleep(max(0.0, due - time.monotonic()))

    def _poll(self, stopping: Stopping) -> float:
        """Ask and write; returns the seconds until the next time."""
        try:
            access = self._source.access()  # anew each time: a login's token may have to be renewed
            with stopping.at_once():
                cas = self._source.ask(access)
            self._take_over(cas)
        except OwnrootError as error:
            if not self._has_worked and not isinstance(error, UnavailableError):
                raise
            self._poll_failures += 1
            seconds = self._poll_wait()
            self._events.poll_failed(error, seconds)
            return seconds
        self._has_worked, self._poll_failures = True, 0
        self._events.poll_worked()
        return self._poll_wait()

    def _poll_wait(self) -> float:
        return self._poll_pace.after(self._poll_failures) * random.uniform(0.9, 1.1)

    def _take_over(self, cas: tuple[TrustedCa, ...]) -> None:
        files = self._source.files(cas)
        self._directory.sweep(files)
        changed = self._directory.write(files, reload_due=self._reload is not None)
        if changed:
            self._events.written(changed, cas)

    @property
    def _is_reload_due(self) -> bool:
        return self._reload is not None and self._directory.is_reload_due

    def _reload_now(self) -> float:
        """Run the command; returns the seconds before which it is not tried again."""
        seconds = self._reload_pace.after(self._reload_failures)
        done = self._try_reload(retry_seconds=seconds)
        self._reload_failures = 0 if done else self._reload_failures + 1
        return 0.0 if done else seconds

    def _try_reload(self, *, retry_seconds: float | None) -> bool:
        assert self._reload is not None  # noqa: S101  (only what is there is due)
        result = self._reload.run()
        self._events.reloaded(result, retry_seconds)
        if result.is_done:
            self._directory.note_reload()
        return result.is_done
