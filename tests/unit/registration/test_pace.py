"""How often one address may ask."""

import pytest

from ownroot.errors import UnavailableError
from ownroot.registration.pace import Pace


def test_bucket_empties_and_fills_again() -> None:
    now = [0.0]
    pace = Pace(60, lambda: now[0])
    for _ in range(60):
        pace.demand("10.0.0.7")
    with pytest.raises(UnavailableError, match="too-many-requests"):
        pace.demand("10.0.0.7")
    pace.demand("10.0.0.8")
    now[0] += 1
    pace.demand("10.0.0.7")
    with pytest.raises(UnavailableError) as caught:
        pace.demand("10.0.0.7")
    assert caught.value.retry_after == 1


def test_ipv6_address_counts_with_its_network() -> None:
    pace = Pace(1, lambda: 0.0)
    pace.demand("2001:db8::1")
    with pytest.raises(UnavailableError):
        pace.demand("2001:db8::2")
    pace.demand("2001:db8:0:1::2")


def test_no_limit_is_none() -> None:
    pace = Pace(0, lambda: 0.0)
    for _ in range(1000):
        pace.demand("10.0.0.7")


def test_strangers_fill_no_memory() -> None:
    pace = Pace(1, lambda: 0.0)
    for number in range(10_000):
        pace.demand(f"10.0.{number // 256}.{number % 256}")
    assert len(pace._buckets) <= 4096
