"""Keeps a `Fleet` fresh: one thread asks the backend, everybody else looks at what it learned last.

When the backend cannot be reached the last state stays until it expires; then the gate refuses everybody, because a
device deleted since would be let in otherwise.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from ownroot.clock import utc_now
from ownroot.customer.feed import FeedPin, read_trust, verify_feed
from ownroot.customer.fleet import Fleet
from ownroot.errors import OwnrootError, RefusedError
from ownroot.wire.status_feed import SignedFeed, StatusFeed

_log = logging.getLogger(__name__)


class FeedSource(Protocol):
    """Where feeds come from; `client.api.Api` is one."""

    def status_feed(self, *, since: int | None = None, after: str | None = None) -> SignedFeed:
        """Return one answer, unverified."""
        ...


class StatusFollower:
    """Follows one factory's status feed. Use it in a `with`, or call `refresh` yourself.

    Args:
        source: owned by the caller, and used by one thread at a time.
        interval_seconds: between two requests, with a tenth of jitter; how long a deleted device may go on.
        now: the clock.
        ticks: seconds that only grow, however the clock is set.
    """

    def __init__(
        self,
        source: FeedSource,
        pin: FeedPin,
        *,
        interval_seconds: float = 15.0,
        now: Callable[[], datetime] = utc_now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._pin = pin
        self._interval = interval_seconds
        self._now = now
        self._ticks = ticks
        self._ends_at_tick = ticks()
        self._fleet: Fleet | None = None
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="ownroot-status", daemon=True)

    @property
    def fleet(self) -> Fleet | None:
        """What is known; None before the first answer."""
        return self._fleet

    @property
    def seconds_past_end(self) -> float:
        """How long the last answer has been over, by time that no clock setting moves; negative while it holds.

        A clock that was set back would keep an old answer alive: every new one comes from its future.
        """
        return self._ticks() - self._ends_at_tick

    def refresh(self) -> None:
        """Ask once; on an error nothing changes.

        Raises:
            OwnrootError: the way failed, the server refused, or the answer does not verify.
        """
        with self._turn:
            known, asked_at = self._fleet, self._ticks()
            feed = self._ask(since=None if known is None else known.generation)
            if known is not None and feed.issued_at < known.issued_at:
                raise RefusedError("status-feed-older", "The status feed is older than the one before; it is not used.")
            if known is not None and feed.since is not None:
                known.apply(read_trust(feed, self._pin), feed)
            else:
                self._fleet = self._load(feed)
            self._ends_at_tick = asked_at + feed.expires_at - feed.issued_at

    def __enter__(self) -> Self:
        """Learn the state now, so that nobody is turned away for the lack of it, then follow."""
        self.refresh()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _load(self, first: StatusFeed) -> Fleet:
        """Read the rest of a snapshot, then what changed while it was read."""
        fleet, page = Fleet.of(read_trust(first, self._pin), first), first
        while page.next is not None:
            page = self._ask(after=page.next)
            fleet.learn(page.devices)
        news = self._ask(since=fleet.generation)
        if news.since is None:
            raise RefusedError("status-feed-moved", "Too much changed while the snapshot was read; it begins anew.")
        fleet.apply(read_trust(news, self._pin), news)
        return fleet

    def _ask(self, *, since: int | None = None, after: str | None = None) -> StatusFeed:
        feed = verify_feed(self._source.status_feed(since=since, after=after), self._pin, self._now())
        # Without `since` it is a snapshot: its beginning where one asked for changes that are forgotten.
        if feed.after != after or feed.since not in (None, since):
            raise RefusedError("status-feed-other", "The status feed answers another question than the one asked.")
        return feed

    def _follow(self) -> None:
        while not self._ended.wait(self._interval * random.uniform(0.9, 1.1)):
            try:
                self.refresh()
            except OwnrootError as fault:
                _log.warning("status feed: %s", fault)
            except Exception:  # noqa: BLE001  (the edge of this thread: it must go on)
                _log.exception("status feed")
