"""What this device has accepted of its factory's update metadata, kept for the next run (protocol: tuf.md §7-8).

A directory for its owner alone: the newest root, the three documents below it, and when they were last found fresh.
Each file is replaced whole, in the order in which the documents were accepted, so a run that is killed anywhere leaves
what an uninterrupted one has at some step. Runs on one device take turns.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from ownroot.device.files import PRIVATE_MODE, prepare_directory
from ownroot.errors import InvalidInputError, RefusedError
from ownroot.keystore.durable import replace_file, sync_directory
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import Role, format_time, parse_time

_BELOW_ROOT: Final = (Role.TIMESTAMP, Role.SNAPSHOT, Role.TARGETS)
_FRESH_AT: Final = "fresh-at"


class AcceptedMetadata:
    """The directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the directory if it is missing, wait for other runs, and take away what a killed one left half written.

        Raises:
            InvalidInputError: `device-directory`; `update-metadata-mode`: others could put a root of theirs there.
        """
        prepare_directory(self._directory)
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _unusable(self._directory, error) from error
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode & 0o022:
                raise InvalidInputError(
                    "update-metadata-mode",
                    f"Others on this device may write to {self._directory} (mode {mode:04o}), and so replace the root "
                    f"it believes. If none of them has, run: chmod go-w {self._directory}",
                )
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in self._directory.glob(".*.????????"):
                left.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def load(self) -> DeviceTrust | None:
        """Return what was accepted; None before the first root.

        Raises:
            InvalidInputError: `device-directory`; `update-metadata-damaged`: there is a root that is none.
        """
        root = self._read(Role.ROOT)
        if root is None:
            return None
        try:
            trust = DeviceTrust(root)
        except RefusedError as error:
            raise InvalidInputError(
                "update-metadata-damaged",
                f"{self._path(Role.ROOT)} is not the root that was kept there: {error.detail} Delete the directory "
                f"{self._directory} to begin again with the roots this device was made with.",
            ) from error
        trust.resume(*(self._read(role) for role in _BELOW_ROOT))
        return trust

    def keep_root(self, trust: DeviceTrust) -> None:
        """Keep the newest root, then forget what it does not let stand. Raises InvalidInputError `device-directory`."""
        self._write(Role.ROOT.value + ".json", trust.root_data)
        if trust.timestamp is None and any(self._path(role).exists() for role in _BELOW_ROOT):
            for role in _BELOW_ROOT:
                self._path(role).unlink(missing_ok=True)
            sync_directory(self._directory)

    def keep(self, role: Role, data: bytes) -> None:
        """Keep a document that was accepted, if it is another. Raises InvalidInputError `device-directory`."""
        if self._read(role) != data:
            self._write(role.value + ".json", data)

    def fresh_at(self) -> datetime | None:
        """Return when everything was last found fresh; None if that is not known."""
        with suppress(OSError, UnicodeDecodeError, InvalidInputError):
            return parse_time((self._directory / _FRESH_AT).read_text(encoding="ascii").strip())
        return None

    def note_fresh(self, now: datetime) -> None:
        """Note that everything was fresh at a time. Raises InvalidInputError `device-directory`."""
        self._write(_FRESH_AT, f"{format_time(now)}\n".encode("ascii"))

    def _path(self, role: Role) -> Path:
        return self._directory / f"{role.value}.json"

    def _read(self, role: Role) -> bytes | None:
        try:
            return self._path(role).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self._path(role), error) from error

    def _write(self, name: str, data: bytes) -> None:
        try:
            replace_file(self._directory / name, data, mode=PRIVATE_MODE)
        except OSError as error:
            raise _unusable(self._directory / name, error) from error


def _unusable(path: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError("device-directory", f"{path} cannot be used: {error.strerror}.")
