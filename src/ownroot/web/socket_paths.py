"""Names of Unix sockets that the system would find too long.

An address of a Unix socket holds about 100 bytes (unix(7)), a path of a data directory any number. Linux offers a short
name for every open directory, below /proc, and a socket in it is the same socket by that name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LONGEST: Final = 100


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give a name of the socket at a path that is short enough to bind or connect to while the block runs.

    Raises:
        OSError: the directory cannot be opened.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
