"""Errors that a PKCS#11 module leaves behind in the OpenSSL which Python's `ssl` uses too.

A module that links the system's libcrypto (SoftHSM2 does) shares its per-thread queue of errors with `ssl`. Whatever it
leaves there, while it looks for an engine at its start, say, is taken by the next read of a TLS connection on that
thread for a fault of the connection. So the queue is emptied behind every call of a module.
Source: OpenSSL SSL_get_error(3): "the current thread's OpenSSL error queue must be empty before the TLS/SSL I/O
operation is attempted, or SSL_get_error() will not work reliably".
"""

import _ssl
import ctypes
from collections.abc import Callable
from typing import Any, Final, cast


def _find() -> Callable[[], Any]:
    try:
        # Symbols of a library are looked for in what it is linked with too; None is the program itself.
        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        function = library.ERR_clear_error
    except (OSError, AttributeError):  # an OpenSSL that Python keeps to itself shares no queue with anybody
        return lambda: None
    function.argtypes, function.restype = (), None
    return cast("Callable[[], Any]", function)


clear_openssl_errors: Final = _find()
"""Empty this thread's queue; costs a fraction of a microsecond."""
