"""How many connections there are, in all and per peer address."""

from collections import Counter
from ipaddress import IPv6Address, ip_address

from ownroot.gateway.limits import Limits


def peer_group(address: str) -> str:
    """Return what connections are counted by: an IPv4 address, or the /64 an IPv6 address lies in.

    One host commonly owns a whole /64. IPv4 addresses seen through an IPv6 socket count as IPv4.
    """
    if ":" not in address:
        return address
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.exploded[:19]


class ConnectionCounts:
    """Admits connections until a limit is reached; every admitted one is given back by `leave`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_group: Counter[str] = Counter()
        self.total = 0

    def enter(self, group: str) -> bool:
        """Count one more connection, or answer False and count nothing."""
        if self.total >= self._limits.connections or self._by_group[group] >= self._limits.connections_per_peer:
            if not self._by_group[group]:
                del self._by_group[group]
            return False
        self.total += 1
        self._by_group[group] += 1
        return True

    def leave(self, group: str) -> None:
        self.total -= 1
        self._by_group[group] -= 1
        if not self._by_group[group]:
            del self._by_group[group]
