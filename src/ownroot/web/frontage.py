"""Who is really calling, and by which name: loopback, our own names, or a proxy that we were told about.

A page in somebody's browser can reach a server on loopback under a name of its own (DNS rebinding), so the `Host` a
request was sent to must be ours. An address is always fine there: rebinding needs a name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from ownroot.errors import InvalidInputError, RefusedError

IpNetwork = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address
_MAX_FORWARDED = 20
# Name or address, perhaps a port, and nothing else: it comes back in the addresses of following pages.
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from and how its sender names us.

    Attributes:
        client_address: empty if nobody trustworthy said; a proxy's own address never stands in for its clients'.
        base_url: no slash at the end.
    """

    client_address: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Frontage:
    """The names and proxies of one listener.

    Args:
        names: host names that are ours, lower-case, without port.
        proxies: addresses whose `X-Forwarded-*` headers count. When there are any, others may call from loopback only.
        remedy: what the operator does to add a name.
    """

    names: frozenset[str] = frozenset()
    proxies: tuple[IpNetwork, ...] = ()
    remedy: str = "its operator adds it to `names` under [api] in the configuration file"

    def locate(self, scope: Scope, headers: Headers) -> Origin:
        """Judge where a request came from.

        Raises:
            RefusedError: `not-the-proxy`: the listener is for proxies and the peer is none of them.
            InvalidInputError: `wrong-host`: `Host` is missing, doubled or not a name of ours.
        """
        peer = _peer_address(scope)
        from_proxy = peer is not None and _is_within(peer, self.proxies)
        if self.proxies and not from_proxy and not (peer is not None and peer.is_loopback):
            raise RefusedError("not-the-proxy", "This server answers only through its proxy.")
        host = self._require_host(headers, vouched=from_proxy and peer is not None and not peer.is_loopback)
        scheme = str(scope.get("scheme", "http"))
        client = "" if peer is None else str(peer)
        if from_proxy:
            scheme = _forwarded_scheme(headers) or scheme
            client = _forwarded_client(headers, self.proxies) or ""
        return Origin(client, f"{scheme}://{host}")

    def _require_host(self, headers: Headers, *, vouched: bool) -> str:
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            raise InvalidInputError("wrong-host", "The request must have exactly one Host header, a host and a port.")
        name = match["name"].lower().rstrip(".")
        if name in self.names or is_loopback_name(name) or _parse_address(name) or (vouched and not self.names):
            return hosts[0]
        raise InvalidInputError(
            "wrong-host",
            f"This server does not know itself as {name[:253]!r}. If that name is right, {self.remedy}.",
        )


def is_loopback_name(name: str) -> bool:
    """Is this host name (lower-case, no port) this machine's own by definition (RFC 6761)?"""
    address = _parse_address(name)
    return name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback)


def _peer_address(scope: Scope) -> IpAddress | None:
    client = scope.get("client")
    return None if client is None else _parse_address(str(client[0]))


def _forwarded_scheme(headers: Headers) -> str | None:
    scheme = headers.get("x-forwarded-proto", "").strip().lower()
    return scheme if scheme in ("http", "https") else None


def _forwarded_client(headers: Headers, proxies: Sequence[IpNetwork]) -> str | None:
    """The last address of the chain that is not a proxy of ours: everything before it is the sender's own claim."""
    for hop in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")[-_MAX_FORWARDED:]):
        address = _parse_address(hop.strip())
        if address is None:
            return None
        if not _is_within(address, proxies):
            return str(address)
    return None


def _is_within(address: IpAddress, networks: Sequence[IpNetwork]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> IpAddress | None:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
