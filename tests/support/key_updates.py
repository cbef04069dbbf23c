"""A TLS 1.3 client that floods its server with key updates, on the system's libssl: no Python binding offers that."""

import ctypes
import ctypes.util
import socket

_UPDATE_REQUESTED = 1


def flood_with_key_updates(address: tuple[str, int], count: int) -> int:
    """Send up to `count` key updates that ask for an answer, reading none; returns how many were taken."""
    library = ctypes.CDLL(ctypes.util.find_library("ssl"))
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    with socket.create_connection(address) as plain:
        plain.settimeout(None)
        context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        tls = ctypes.c_void_p(library.SSL_new(context))
        library.SSL_set_fd(tls, plain.fileno())
        try:
            assert library.SSL_connect(tls) == 1
            for sent in range(count):
                if library.SSL_key_update(tls, _UPDATE_REQUESTED) != 1 or library.SSL_do_handshake(tls) != 1:
                    return sent
            return count
        finally:
            library.SSL_free(tls)
            library.SSL_CTX_free(context)
