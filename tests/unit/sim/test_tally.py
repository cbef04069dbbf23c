"""Sums of what a fleet met."""

from ownroot.sim.tally import Attempt, tally


def test_failures_are_counted_by_reason_and_kept_out_of_latencies() -> None:
    attempts = [Attempt(0.010), Attempt(0.030), Attempt(9.0, "no-connection"), Attempt(9.0, "no-connection")]
    summed = tally(attempts, elapsed_seconds=2.0)
    assert (summed.done, summed.failures, summed.per_second) == (2, {"no-connection": 2}, 1.0)
    assert summed.p99_ms == 30.0


def test_nothing_done_is_zero_and_no_error() -> None:
    assert tally([], elapsed_seconds=0.0).per_second == 0.0
