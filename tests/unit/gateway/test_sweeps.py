"""How long revocations take, as a histogram."""

from ownroot.gateway.sweeps import BOUNDS_SECONDS, RevocationTimes


class Clock:
    """Unix time, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_sweep_counts_once_when_its_last_connection_has_ended() -> None:
    clock = Clock()
    times = RevocationTimes(clock)
    sweep = times.begin(1000.0)
    for _ in range(2):
        sweep.cut()
    clock.now += 0.06
    sweep.closed()
    assert times.buckets()[-1] == ("+Inf", 0.0)
    clock.now += 0.06
    sweep.closed()

    assert dict(times.buckets()) == {str(bound): float(bound >= 0.15) for bound in BOUNDS_SECONDS} | {"+Inf": 1.0}
    assert round(times.sum_seconds, 6) == 0.12


def test_what_takes_longer_than_every_bound_is_counted_too() -> None:
    clock = Clock()
    times = RevocationTimes(clock)
    sweep = times.begin(900.0)
    sweep.cut()
    sweep.closed()

    assert times.buckets()[-2:] == [("10.0", 0.0), ("+Inf", 1.0)]


def test_a_change_announced_by_a_clock_ahead_of_ours_took_no_time() -> None:
    times = RevocationTimes(Clock())
    sweep = times.begin(1001.0)
    sweep.cut()
    sweep.closed()

    assert times.sum_seconds == 0.0
    assert times.buckets()[0] == ("0.025", 1.0)
