"""Configuration files below the secrets directory: whole or not at all, for their owner alone (gateway.md §6.3).

Names come from the network, so each is checked here again before it becomes a path.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from ownroot.device.files import PRIVATE_MODE
from ownroot.errors import InvalidInputError
from ownroot.fleet.config_files import parse_file_name
from ownroot.keystore.durable import replace_file, sync_directory

_DIRECTORY_MODE = 0o700


class SecretsDirectory:
    """What handlers and programs of the device read. Often on a disk that a restart empties."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def path_of(self, name: str) -> Path:
        """Raises InvalidInputError `config-file-name`."""
        return self._path / parse_file_name(name)

    def read(self, name: str) -> bytes | None:
        """Return what is there now; None if there is no such file, or a directory of that name.

        Raises:
            InvalidInputError: `config-directory`.
        """
        try:
            return self.path_of(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise _unusable(self.path_of(name), error) from error

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, in place of one that may be there; durable on return.

        Raises:
            InvalidInputError: `config-directory`; what was there stays.
        """
        path = self.path_of(name)
        try:
            self._make_directories(path.parent)
            replace_file(path, content, mode=PRIVATE_MODE)
        except OSError as error:
            raise _unusable(path, error) from error

    def remove(self, name: str) -> None:
        """Take a file away, and directories that are empty without it; no error if there is none.

        Raises:
            InvalidInputError: `config-directory`.
        """
        path = self.path_of(name)
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_directory(path.parent)
            _remove_empty(path.parent, below=self._path)
        except NotADirectoryError:
            return
        except OSError as error:
            raise _unusable(path, error) from error

    def sweep(self, names: Iterable[str]) -> None:
        """Take away what a run that was killed while it wrote left beside these files: it holds secrets.

        Raises:
            InvalidInputError: `config-directory`.
        """
        for name in names:
            path = self.path_of(name)
            try:
                for left in path.parent.glob(f".{_literal(path.name)}.????????"):
                    left.unlink(missing_ok=True)
            except OSError as error:
                raise _unusable(path, error) from error

    def _make_directories(self, directory: Path) -> None:
        if directory != self._path and not directory.exists():
            self._make_directories(directory.parent)
        directory.mkdir(mode=_DIRECTORY_MODE, parents=directory == self._path, exist_ok=True)


def _remove_empty(directory: Path, *, below: Path) -> None:
    while directory != below and directory.is_dir() and not os.listdir(directory):
        directory.rmdir()
        directory = directory.parent


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _unusable(path: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError("config-directory", f"The configuration file {path} cannot be kept: {error.strerror}.")
