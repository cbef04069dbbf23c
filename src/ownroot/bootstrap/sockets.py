"""Listening sockets: bound before anything serves, so that an address in use is said in words."""

import socket

from ownroot.config import Address
from ownroot.errors import InvalidInputError


def bind_socket(address: Address, *, shared: bool = False) -> socket.socket:
    """Return a socket bound to an address, not yet listening.

    Args:
        shared: others may bind the same port too (SO_REUSEPORT).
    Raises:
        InvalidInputError: `address-unusable`.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise InvalidInputError("address-unusable", f"Cannot listen on {address}: {exc.strerror}.") from exc
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(where)
    except OSError as exc:
        made.close()
        raise InvalidInputError("address-unusable", f"Cannot listen on {address}: {exc.strerror}.") from exc
    return made
