"""From which network a device calls: coarse on purpose, so that a device stays in its network while its address moves.

An IPv4 /16 holds the address pool a carrier's NAT draws one customer's addresses from; an IPv6 /48 is the most that one
site is commonly given (RFC 6177). The two families do not compare: a device that has both is in one network of each.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, ip_address
from typing import Final

_SITE_BITS: Final = 48


class Family(IntEnum):
    """Of addresses; the number is the place in a pair."""

    IPV4 = 0
    IPV6 = 1


@dataclass(frozen=True, slots=True)
class Network:
    """A network as text with its prefix length: `203.0.0.0/16`, `2001:db8:7::/48`."""

    family: Family
    text: str


def network_of(address: str) -> Network | None:
    """Return the network of an address; None if there is none to read.

    IPv4 addresses seen through an IPv6 socket count as IPv4.
    """
    if ":" not in address:
        first, _, rest = address.partition(".")
        second = rest.partition(".")[0]
        return Network(Family.IPV4, f"{first}.{second}.0.0/16") if second else None
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return network_of(str(parsed.ipv4_mapped))
    site = IPv6Address(int(parsed) >> (128 - _SITE_BITS) << (128 - _SITE_BITS))
    return Network(Family.IPV6, f"{site}/{_SITE_BITS}")
