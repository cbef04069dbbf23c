"""How often somebody may be wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from ownroot.errors import UnavailableError
from ownroot.services import attempt_limits
from ownroot.services.attempt_limits import AttemptLimit, peer_network

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


@pytest.fixture
def limit() -> AttemptLimit:
    return AttemptLimit("sign-ins for this account", most=3, window=WINDOW)


def spend(limit: AttemptLimit, key: str = "ada", times: int = 3) -> None:
    for _ in range(times):
        limit.charge(key, NOW)


def test_the_next_attempt_is_refused_with_the_time_to_wait(limit: AttemptLimit) -> None:
    spend(limit)
    with pytest.raises(UnavailableError) as refused:
        limit.charge("ada", NOW + timedelta(minutes=5))
    assert (refused.value.code, refused.value.retry_after) == ("too-many-attempts", 600)
    assert "sign-ins for this account. Try again in 10 minutes" in refused.value.detail


def test_another_key_and_another_window_are_free(limit: AttemptLimit) -> None:
    spend(limit)
    limit.charge("bob", NOW)
    limit.charge("ada", NOW + WINDOW)


def test_attempt_that_was_right_is_given_back(limit: AttemptLimit) -> None:
    for _ in range(10):
        limit.charge("ada", NOW)
        limit.give_back("ada")
    limit.give_back("nobody")
    spend(limit)


def test_keys_are_bounded_and_ended_ones_go_first(limit: AttemptLimit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_limits, "_MAX_KEYS", 2)
    spend(limit, "old")
    limit.charge("new", NOW + WINDOW)
    limit.charge("newer", NOW + WINDOW)
    limit.charge("newest", NOW + WINDOW)
    assert len(limit._spent) == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::9", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_ipv6_hosts_count_by_their_network(address, network):
    assert peer_network(address) == network
