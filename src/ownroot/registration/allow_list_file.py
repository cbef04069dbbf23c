"""The allow-list as a file that somebody edits during the shift: read anew when it changed.

A new version that cannot be read closes the site until it can: the last good one may hold boards that were just
taken off.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ownroot.errors import InvalidInputError, UnavailableError
from ownroot.registration.allow_list import MAX_LIST_BYTES, AllowList, parse_allow_list

_log: Final = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 30
_Version = tuple[int, int, int]


class AllowListFile:
    """One list. Safe to use from several threads.

    Args:
        monotonic: seconds that never go back; the file is looked at once a second at most.
    Raises:
        InvalidInputError: `allow-list-invalid`, `allow-list-unreadable`; a server does not start with such a list.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._version = _version(path)
        self._list = _load(path)
        self._fault: InvalidInputError | None = None
        self._looked_at = monotonic()

    def current(self) -> AllowList:
        """Return the list as the file holds it.

        Raises:
            UnavailableError: `allow-list-unusable`: the file changed, and cannot be used now.
        """
        with self._lock:
            if self._monotonic() - self._looked_at >= _LOOK_SECONDS:
                self._look()
            if self._fault is not None:
                raise UnavailableError(
                    "allow-list-unusable",
                    "Nothing is registered until the list of allowed devices is repaired. Its operator finds the "
                    "reason in the log of this server.",
                    retry_after=_RETRY_SECONDS,
                )
            return self._list

    def _look(self) -> None:
        self._looked_at = self._monotonic()
        try:
            version = _version(self._path)
            if version == self._version and self._fault is None:
                return
            self._list, self._version, self._fault = _load(self._path), version, None
        except InvalidInputError as exc:
            if self._fault is None or exc.detail != self._fault.detail:
                _log.warning("nothing is registered until the list of allowed devices is repaired: %s", exc.detail)
            self._fault = exc


def _version(path: Path) -> _Version:
    try:
        stat = path.stat()
    except OSError as exc:
        raise _unreadable(path, str(exc.strerror)) from exc
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _load(path: Path) -> AllowList:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_LIST_BYTES + 1)
        if len(content) > MAX_LIST_BYTES:
            raise _unreadable(path, "it is far too large")
        return parse_allow_list(content.decode("utf-8"))
    except OSError as exc:
        raise _unreadable(path, str(exc.strerror)) from exc
    except UnicodeDecodeError as exc:
        raise _unreadable(path, "it is not UTF-8 text") from exc
    except InvalidInputError as exc:
        raise InvalidInputError(exc.code, f"{path}: {exc.detail}") from exc


def _unreadable(path: Path, why: str) -> InvalidInputError:
    return InvalidInputError("allow-list-unreadable", f"The list of allowed devices {path} cannot be read: {why}.")
