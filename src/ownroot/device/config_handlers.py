"""Programs that run when a configuration file changed (gateway.md §6.3).

Only what lies in the handlers directory, which the device's builder filled: whoever can write a configuration must not
thereby run whatever they like on every device.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ownroot.errors import UnavailableError

ABORT_STATUS: Final = 123


@dataclass(frozen=True, slots=True)
class HandlerPlaces:
    """Where handlers lie, and what each is told.

    Attributes:
        program: this program, for handlers that call it back.
    """

    handlers: Path
    storage: Path
    program: str


class Handlers:
    """Runs handlers.

    Args:
        say: is told of a handler that cannot be run or fails; neither stops the check-in.
    """

    def __init__(self, places: HandlerPlaces, say: Callable[[str], None]) -> None:
        self._places = places
        self._say = say

    def run(self, command: Sequence[str], file: Path) -> None:
        """Run one to its end.

        Args:
            command: handler and arguments; empty for none.
            file: what changed; it may be gone.
        Raises:
            UnavailableError: `config-aborted`: the handler wants the check-in to end before the new configuration
                counts, most often because it restarts this program.
        """
        if not command:
            return
        if not self._is_allowed(command[0]):
            self._say(f"{command[0]} is not run: it is not in {self._places.handlers}.")
            return
        try:
            done = subprocess.run(command, env=self._environment(file), stdin=subprocess.DEVNULL, check=False)  # noqa: S603
        except OSError as error:
            self._say(f"{command[0]} cannot be run: {error.strerror}.")
            return
        if done.returncode == ABORT_STATUS:
            raise UnavailableError(
                "config-aborted", f"{command[0]} ends this check-in; the next one begins it again.", retry_after=5
            )
        if done.returncode:
            self._say(f"{command[0]} ended with status {done.returncode}.")

    def _is_allowed(self, program: str) -> bool:
        path = Path(program)
        inside = path.is_absolute() and ".." not in path.parts
        return inside and self._places.handlers.resolve() in path.resolve().parents

    def _environment(self, file: Path) -> dict[str, str]:
        told = {
            "CONFIG_FILE": str(file),
            "STORAGE_DIR": str(self._places.storage),
            "SOTA_DIR": str(self._places.storage),
            "FIOCONFIG_BIN": self._places.program,
        }
        return {**os.environ, **told}
