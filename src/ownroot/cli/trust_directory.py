"""A directory with files that other programs read: each is there whole or not at all, and only changes are written.

That somebody has yet to be told of a change is a file too. So a kill between the write and the reload loses nothing:
the next run finds it.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ownroot.errors import ConflictError, KeyStoreError
from ownroot.keystore.durable import replace_file, sync_directory

# Public material, read by the user a front runs as.
_MODE: Final = 0o644
_RELOAD_DUE: Final = ".ownroot-reload-due"


@dataclass(frozen=True, slots=True)
class TrustDirectory:
    """Where the files are; made when something is written."""

    path: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory for one run that keeps coming back to it.

        Raises:
            KeyStoreError: `trust-directory-unwritable`.
            ConflictError: `trust-directory-busy`: another run holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc
        try:
            _lock(descriptor, self.path)
            yield
        finally:
            os.close(descriptor)

    def sweep(self, names: Mapping[str, object]) -> None:
        """Remove what a killed run left under temporary names of these files; whoever calls this holds the directory.

        Raises:
            KeyStoreError: `trust-directory-unwritable`.
        """
        try:
            for name in names:
                for leftover in self.path.glob(f".{name}.*"):
                    leftover.unlink()
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc

    def write(self, files: Mapping[str, bytes], *, reload_due: bool = False) -> tuple[str, ...]:
        """Write what differs from what is there, each file whole; returns the names written.

        Args:
            reload_due: note before the first write that somebody has to be told.
        Raises:
            KeyStoreError: `trust-directory-unwritable`; files not reached yet stay as they are.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            changed = [name for name, content in files.items() if _content(self.path / name) != content]
            if changed and reload_due:
                replace_file(self.path / _RELOAD_DUE, b"", mode=_MODE)
            for name in changed:
                replace_file(self.path / name, files[name], mode=_MODE)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc
        return tuple(changed)

    @property
    def is_reload_due(self) -> bool:
        """Whether somebody has yet to be told of a change."""
        return (self.path / _RELOAD_DUE).exists()

    def note_reload(self) -> None:
        """Note that they were told.

        Raises:
            KeyStoreError: `trust-directory-unwritable`.
        """
        try:
            (self.path / _RELOAD_DUE).unlink(missing_ok=True)
            sync_directory(self.path)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise ConflictError("trust-directory-busy", f"Another `ownroot trust watch` keeps {path}.") from exc


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _unwritable(path: Path, exc: OSError) -> KeyStoreError:
    return KeyStoreError(
        "trust-directory-unwritable", f"{path} cannot be written: {exc.strerror}. Nothing else was changed."
    )
