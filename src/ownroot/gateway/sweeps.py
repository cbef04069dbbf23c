"""How long it takes from a change of trust to the end of the last connection that rested on what was taken away.

One observation per change and worker, and only if it had connections to cut. The beginning is the moment the backend
announced the change, just before its commit; between machines their clocks must agree for it to mean anything.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Final

BOUNDS_SECONDS: Final = (0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Sweep:
    """The connections of this worker that one change cuts."""

    __slots__ = ("_left", "_report", "since")

    def __init__(self, since: float, report: Callable[[float], None]) -> None:
        self.since = since
        self._report = report
        self._left = 0

    def cut(self) -> None:
        """One more connection is being cut."""
        self._left += 1

    def closed(self) -> None:
        """One of them has ended."""
        self._left -= 1
        if not self._left:
            self._report(self.since)


class RevocationTimes:
    """A histogram of the seconds that sweeps took.

    Args:
        wall_clock: Unix time with fractions.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def begin(self, announced_at: float) -> Sweep:
        return Sweep(announced_at, self._observe)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        bounds = (*(str(bound) for bound in BOUNDS_SECONDS), "+Inf")
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))

    def _observe(self, since: float) -> None:
        seconds = max(0.0, self._wall_clock() - since)
        self._counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds
