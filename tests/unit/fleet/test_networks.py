"""Networks of addresses."""

import pytest

from ownroot.fleet.networks import Family, Network, network_of


@pytest.mark.parametrize(
    ("address", "family", "text"),
    [
        ("203.0.113.9", Family.IPV4, "203.0.0.0/16"),
        ("203.0.7.1", Family.IPV4, "203.0.0.0/16"),
        ("203.1.113.9", Family.IPV4, "203.1.0.0/16"),
        ("::ffff:203.0.113.9", Family.IPV4, "203.0.0.0/16"),
        ("2001:db8:7:1::9", Family.IPV6, "2001:db8:7::/48"),
        ("2001:db8:7:ffff::1", Family.IPV6, "2001:db8:7::/48"),
        ("2001:db8:8:1::9", Family.IPV6, "2001:db8:8::/48"),
        ("fe80::1%eth0", Family.IPV6, "fe80::/48"),
    ],
)
def test_a_network_is_a_16_of_ipv4_and_a_48_of_ipv6(address: str, family: Family, text: str) -> None:
    assert network_of(address) == Network(family, text)


@pytest.mark.parametrize("address", ["", "nowhere", "::zz"])
def test_what_is_no_address_is_in_no_network(address: str) -> None:
    assert network_of(address) is None
