"""Counting what a fleet met: successes with their latencies, failures with their reasons."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing one device tried. `failure` None means it worked; otherwise the stable code of the reason."""

    seconds: float
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The sum of one step over the fleet; latencies in milliseconds over the successes."""

    done: int
    failures: dict[str, int]
    per_second: float
    median_ms: float
    p99_ms: float


def tally(attempts: Sequence[Attempt], *, elapsed_seconds: float) -> Tally:
    """Sum up one step of a fleet."""
    good = sorted(attempt.seconds for attempt in attempts if attempt.failure is None)
    return Tally(
        done=len(good),
        failures=dict(Counter(attempt.failure for attempt in attempts if attempt.failure is not None).most_common()),
        per_second=len(good) / elapsed_seconds if elapsed_seconds > 0 else 0.0,
        median_ms=_quantile_ms(good, 0.50),
        p99_ms=_quantile_ms(good, 0.99),
    )


def _quantile_ms(sorted_seconds: Sequence[float], share: float) -> float:
    if not sorted_seconds:
        return 0.0
    return sorted_seconds[min(len(sorted_seconds) - 1, int(share * len(sorted_seconds)))] * 1000
