"""What the connections of one worker share."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Generic, Protocol

import structlog
from OpenSSL import SSL

from ownroot.gateway.application import Application, S
from ownroot.gateway.connection_counts import ConnectionCounts
from ownroot.gateway.limits import Limits
from ownroot.gateway.sni import SiteTable

_log = structlog.get_logger(__name__)
_BUFFER_BYTES = 64 * 1024


@dataclass(slots=True)
class EngineCounters:
    """Totals since the start of this worker."""

    accepted: int = 0
    over_limit: int = 0
    handshakes: int = 0
    handshakes_failed: int = 0
    handshakes_too_big: int = 0
    requests: int = 0
    faults: int = 0
    timeouts: int = 0


class Member(Protocol):
    """A connection, as seen from the hub."""

    deadline: float

    def expire(self) -> None:
        """The deadline passed."""
        ...

    def abort(self) -> None: ...
    def close_when_idle(self) -> None: ...


class Hub(Generic[S]):
    """One worker's application, limits, counters and open connections.

    Attributes:
        buffer: what sockets are read into; shared, since a read is consumed before the next one begins.
        date: value of `Date`, renewed by `tick`.
        is_stopping: every further answer is the last one of its connection.
    """

    def __init__(
        self, application: Application[S], sites: SiteTable, *, limits: Limits, clock: Callable[[], datetime]
    ) -> None:
        self.application = application
        self.limits = limits
        self.counters = EngineCounters()
        self.buffer = memoryview(bytearray(_BUFFER_BYTES))
        self.is_stopping = False
        self.now = asyncio.get_running_loop().time
        self._sites = sites
        self._clock = clock
        self._counts = ConnectionCounts(limits)
        self._members: set[Member] = set()
        self.tick()

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members))

    def admit(self, member: Member, group: str) -> bool:
        """Take in a new connection, or answer False; `dismiss` gives back what was taken."""
        self.counters.accepted += 1
        if self.is_stopping or not self._counts.enter(group):
            self.counters.over_limit += 1
            return False
        self._members.add(member)
        return True

    def dismiss(self, member: Member, group: str) -> None:
        self._members.discard(member)
        self._counts.leave(group)

    def new_tls(self) -> SSL.Connection:
        tls = SSL.Connection(self._sites.base_context, None)
        tls.set_accept_state()
        return tls

    def report_failed_handler(self, error: BaseException) -> None:
        _log.error("request handler failed", exc_info=error)

    def tick(self) -> None:
        """Expire what is late. Called once a second: one scan costs less than a timer per connection."""
        self.date = format_datetime(self._clock(), usegmt=True).encode("ascii")
        now = self.now()
        for member in [late for late in self._members if late.deadline < now]:
            self.counters.timeouts += 1
            member.expire()
