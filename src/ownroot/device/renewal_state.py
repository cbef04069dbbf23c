"""How far a renewal has come, in a file that is written whole after each step (protocol: gateway.md §7.2).

The file is the only witness after a power cut: what it does not say was not done, and is done again. Beside it lie the
next key and the next certificate. Two programs on one device must not renew at once, so whoever renews holds the
directory.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any

from ownroot.device.files import write_private
from ownroot.device.identity import IdentityPlaces
from ownroot.errors import InvalidInputError, UnavailableError

STATE_FILE = "renewal.json"


class Step(IntEnum):
    """What is done already; each value includes those before it."""

    BEGUN = 0
    CERTIFIED = 1
    ANNOUNCED = 2
    COPY_ENCRYPTED = 3
    VALUES_ENCRYPTED = 4
    SWITCHED = 5
    SEEN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A renewal under way.

    Attributes:
        id: what its events are grouped by.
        est: base URL of the EST server.
        key, certificate: where the present key and certificate are and the new ones will be in the end: paths, or ids
            of objects on the token.
        is_recovery: the present certificate had ended when the new one was asked for.
        source: which of both; None: it was begun by a version that did not say.
        is_pushed: `id` is that of an order of the owner.
    """

    id: str
    est: str
    key: str
    certificate: str
    step: Step = Step.BEGUN
    is_recovery: bool = False
    source: str | None = None
    is_pushed: bool = False

    @property
    def places(self) -> IdentityPlaces:
        """Where the present key and certificate are."""
        return IdentityPlaces(self.source, self.key, self.certificate)


@dataclass(frozen=True, slots=True)
class RenewalState:
    """What the file says.

    Attributes:
        completed: the last rotation that was ended, empty for none.
        carried_out: the last one of those that the owner had ordered, empty for none.
    """

    completed: str = ""
    rotation: Rotation | None = None
    carried_out: str = ""

    @property
    def under_way(self) -> Rotation:
        """The rotation, where there must be one."""
        if self.rotation is None:
            raise AssertionError("a renewal is on record")
        return self.rotation


class RenewalFile:
    """The file of one device's directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / STATE_FILE

    def load(self) -> RenewalState:
        """Return what was saved last.

        Raises:
            InvalidInputError: `renewal-state`: the file is there and is not ours. To guess which key the gateway knows
                could lock the device out.
        """
        try:
            document = json.loads(self._path.read_bytes())
            known = document["rotation"]
            completed = str(document["completed"])
            return RenewalState(
                completed, None if known is None else _rotation(known), str(document.get("carried_out", completed))
            )
        except FileNotFoundError:
            return RenewalState()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InvalidInputError(
                "renewal-state", f"{self._path} cannot be read, so how far a renewal has come is not known."
            ) from error

    def save(self, state: RenewalState) -> None:
        """Replace the file; durable on return.

        Raises:
            InvalidInputError: `device-directory`; it says what it said before.
        """
        write_private(self._path, json.dumps(asdict(state), indent=2) + "\n")

    def forget(self) -> None:
        """Take the file away: the device begins anew, with another registration.

        Raises:
            InvalidInputError: `device-directory`.
        """
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise InvalidInputError("device-directory", f"{self._path} cannot be removed: {error.strerror}.") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other program of this device from renewing until the end of the block.

        Raises:
            UnavailableError: `renewal-busy`: another one is at it.
            InvalidInputError: `device-directory`.
        """
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise InvalidInputError("device-directory", f"{self._directory} cannot be opened.") from error
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnavailableError(
                "renewal-busy", "Another program is renewing the certificate of this device.", retry_after=30
            ) from error


def _rotation(known: dict[str, Any]) -> Rotation:
    """Read a rotation; what a later version says besides is not for us."""
    ours = {field.name: known[field.name] for field in fields(Rotation) if field.name in known}
    return Rotation(**{**ours, "step": Step(known["step"])})
