import pytest

from ownroot.gateway.connection_counts import ConnectionCounts, peer_group
from ownroot.gateway.limits import Limits


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_addresses_count_together_by_host(address: str, other: str, *, same: bool) -> None:
    assert (peer_group(address) == peer_group(other)) is same


def test_cap_per_peer_leaves_others_alone_and_gives_places_back() -> None:
    counts = ConnectionCounts(Limits(connections_per_peer=2))
    assert [counts.enter("a"), counts.enter("a"), counts.enter("a"), counts.enter("b")] == [True, True, False, True]
    counts.leave("a")
    assert counts.enter("a")
    assert counts.total == 3


def test_cap_in_all_holds_for_everybody() -> None:
    counts = ConnectionCounts(Limits(connections=1))
    assert counts.enter("a")
    assert not counts.enter("b")
    counts.leave("a")
    assert counts.enter("b")
