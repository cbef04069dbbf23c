"""Is the journal that a server writes still the file that its name leads to?

SQLite goes on writing a file that was removed or replaced, and nobody would find what it wrote. So a server that lost
its journal signs nothing more: the next one would know none of these devices and make them a second identity.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ownroot.errors import UnavailableError

_log: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 60


class JournalFile:
    """A file as it was found, looked at once a second at most.

    Args:
        path: of a file that is there.
        monotonic: seconds that never go back.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._identity = _identity(path)
        self._looked_at = monotonic()
        self._is_lost = False

    def demand_same(self) -> None:
        """Refuse when the name leads elsewhere; for good, since nothing that was written meanwhile would be found.

        Raises:
            UnavailableError: `journal-replaced`.
        """
        if not self._is_lost and self._monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = self._monotonic()
            self._is_lost = _identity(self._path) != self._identity
            if self._is_lost:
                _log.error("the journal %s was removed or replaced; nothing is registered any more", self._path)
        if self._is_lost:
            raise UnavailableError(
                "journal-replaced",
                "The journal of this site was removed or replaced while its server ran, so nothing is registered. Its "
                "operator stops the server, puts the journal back, and starts it again.",
                retry_after=_RETRY_SECONDS,
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
