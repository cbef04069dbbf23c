"""The device's copy of its configuration: as it was delivered, encrypted values encrypted, stamped with its time.

The copy is replaced once everything in the new one was carried out, so a run that is killed in between is repeated
whole. Until then the names of the files it makes are noted beside it, lest one that the next delivery does not have
stays for ever (gateway.md §6.3).
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ownroot.device.files import write_private
from ownroot.errors import InvalidInputError
from ownroot.fleet.config_files import ConfigFile, parse_file_name
from ownroot.fleet.config_times import print_http_date
from ownroot.keystore.durable import sync_directory
from ownroot.wire.config import parse_delivery

COPY_FILE = "config.encrypted"
NEXT_COPY_FILE = "config.next"
BEGUN_FILE = "config.begun"


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """What the device has. `time`: Unix time that the gateway gave it; None if it has no copy."""

    files: tuple[ConfigFile, ...] = ()
    time: int | None = None

    @property
    def if_modified_since(self) -> str | None:
        """Its time as clients of the field send it: the zone is spelled `UTC`."""
        return None if self.time is None else print_http_date(self.time, zone="UTC")


class ConfigCopy:
    """The copy in a device's directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / COPY_FILE
        self._next = directory / NEXT_COPY_FILE
        self._begun = directory / BEGUN_FILE

    def load(self) -> StoredCopy:
        """Return the copy. One that cannot be read counts as none: the gateway has the whole of it."""
        try:
            time = int(self._path.stat().st_mtime)
            return StoredCopy(parse_delivery(self._path.read_bytes()), time)
        except (OSError, InvalidInputError):
            return StoredCopy()

    def names_begun(self) -> frozenset[str]:
        """Names of files that runs which were killed may have made."""
        try:
            return frozenset(map(parse_file_name, json.loads(self._begun.read_bytes())))
        except (OSError, ValueError, TypeError, AttributeError, InvalidInputError):
            return frozenset()

    def begin(self, names: Iterable[str]) -> None:
        """Note which files are about to be made. Raises as `write_private`."""
        write_private(self._begun, json.dumps(sorted(self.names_begun().union(names))))

    def finish(self, body: bytes, time: int) -> None:
        """Make what was delivered the copy, and nothing begun any more. Raises as `replace`."""
        self.replace(body, time)
        self.forget_begun()

    def replace(self, body: bytes, time: int) -> None:
        """Store a delivery as the copy, stamped with its time.

        Raises:
            InvalidInputError: `device-directory`; the copy is the one before.
        """
        write_private(self._next, body.decode("utf-8"))
        try:
            os.utime(self._next, (time, time))
            self._next.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise InvalidInputError("device-directory", f"{self._path} cannot be written: {error.strerror}.") from error

    def forget_begun(self) -> None:
        """Say that everything that was begun is done; a note that stays after all costs one repetition."""
        with suppress(OSError):
            self._begun.unlink(missing_ok=True)
