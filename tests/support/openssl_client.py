"""A client on pyOpenSSL, for what the standard library does not show."""

import socket
import struct

from OpenSSL import SSL


def handshake(address: tuple[str, int], context: SSL.Context, *, session: SSL.Session | None = None) -> SSL.Connection:
    """Connect, shake hands and return the open connection."""
    plain = socket.create_connection(address)
    # pyOpenSSL cannot work with Python's own timeouts, which make the socket non-blocking.
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
    connection = SSL.Connection(context, plain)
    connection.set_connect_state()
    if session is not None:
        connection.set_session(session)
    connection.do_handshake()
    return connection
