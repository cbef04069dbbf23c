"""Where a key file is kept: one writer at a time, and no moment at which a power cut loses a key.

A new key is on disk, in `FILE.tmp`, before the server hears of it. Once the server has taken it, `FILE.tmp` becomes
`FILE`; if the server refuses, it is removed, so that a key nobody trusts is not kept. When nobody knows, both stay, and
the next run takes the larger one: files only ever grow, so that loses nothing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ownroot.cli.tuf_key_file import EMPTY, FIRST_ROOT, MAX_OCTETS, KeyFile, parse_key_file
from ownroot.client.refusals import is_certain
from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError, NotFoundError, OwnrootError
from ownroot.keystore.durable import replace_file, sync_directory

_MODE = 0o600
_STAGED_SUFFIX = ".tmp"


class KeyFileStore:
    """One key file; what is in it is read anew at every call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._staged = path.with_name(path.name + _STAGED_SUFFIX)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the file for one run that may write it; what an earlier run left beside it is settled first.

        Raises:
            ConflictError: `tuf-key-file-busy`, another run holds it.
            KeyStoreError: `tuf-key-file-unwritable`.
            InvalidInputError: `tuf-key-file-unusable`, `tuf-key-file-leftover`.
        """
        # The file itself is replaced by a rename, so the lock is a file beside it. It stays: removing it would race.
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise ConflictError("tuf-key-file-busy", f"Another program is changing {self.path}.") from exc
            self._settle()
            yield
        finally:
            os.close(descriptor)

    def read(self) -> KeyFile:
        """Read the file, which must be there.

        Raises:
            NotFoundError: `tuf-key-file-missing`. InvalidInputError: `tuf-key-file-unusable`.
        """
        found = _read(self.path)
        if found is None:
            raise NotFoundError("tuf-key-file-missing", f"There is no key file {self.path}.")
        return found

    def read_or_empty(self) -> KeyFile:
        """Read the file; one that is not there has no keys."""
        return _read(self.path) or EMPTY

    def require_free(self) -> None:
        """Refuse a file that has keys already; a first root key alone, which the server gives again, does not count.

        Raises:
            ConflictError: `tuf-key-file-exists`. InvalidInputError: `tuf-key-file-unusable`.
        """
        if any(stem != FIRST_ROOT for stem, _ in self.read_or_empty().keys.values()):
            raise ConflictError("tuf-key-file-exists", f"There are keys in {self.path} already. Name a new file.")

    @contextmanager
    def staged(self, content: KeyFile) -> Iterator[None]:
        """Keep a new content beside the file while the server decides about it; afterwards it is the file's.

        An error that leaves open what the server did leaves both.

        Raises:
            KeyStoreError: `tuf-key-file-unwritable`; the server was not asked.
        """
        if content == self.read_or_empty():
            yield
            return
        try:
            replace_file(self._staged, content.encoded(), mode=_MODE)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc
        try:
            yield
        except OwnrootError as error:
            if is_certain(error):
                self._staged.unlink()
            raise
        self._promote()

    def replace(self, content: KeyFile) -> None:
        """Put a content in place that has all keys of the one before."""
        with self.staged(content):
            pass

    def remove(self) -> None:
        """Remove a file that this run made, once it is certain that no root names a key of it."""
        try:
            self.path.unlink(missing_ok=True)
            sync_directory(self.path.parent)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc

    def _settle(self) -> None:
        """Decide about what a run that was cut left: its keys may be in a root by now."""
        try:
            staged = _read(self._staged)
        except InvalidInputError as exc:
            raise InvalidInputError(
                "tuf-key-file-leftover", f"{self._staged} was left by another run and cannot be read; move it away."
            ) from exc
        if staged is None:
            return
        if not staged.extends(self.read_or_empty()):
            raise InvalidInputError(
                "tuf-key-file-leftover",
                f"{self._staged} was left by another run and lacks keys of {self.path.name}; move it away.",
            )
        self._promote()

    def _promote(self) -> None:
        try:
            self._staged.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc


def _read(path: Path) -> KeyFile | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InvalidInputError("tuf-key-file-unusable", f"{path} cannot be read: {exc.strerror}.") from exc
    try:
        return parse_key_file(data)
    except InvalidInputError as exc:
        raise InvalidInputError(exc.code, f"{path}: {exc.detail}") from exc


def _unwritable(path: Path, exc: OSError) -> KeyStoreError:
    return KeyStoreError("tuf-key-file-unwritable", f"{path} cannot be written: {exc.strerror}.")
