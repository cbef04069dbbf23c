"""The command that tells a program to read its files again; run without a shell, so nothing in it is interpreted."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Final, Self

from ownroot.errors import InvalidInputError

# Shorter than systemd's patience with a service that it stops (90 s).
LIMIT_SECONDS: Final = 60.0
# The command has no business with our token.
_WITHHELD: Final = frozenset(("OWNROOT_TOKEN",))


@dataclass(frozen=True, slots=True)
class Reloaded:
    """How a run ended.

    `exit_code` as shells count, 128 + n for signal n; None: it was not started, or took too long.
    """

    exit_code: int | None
    trouble: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the command says that it worked."""
        return self.exit_code == 0

    def __str__(self) -> str:
        """For people."""
        return self.trouble or f"exit code {self.exit_code}"


@dataclass(frozen=True, slots=True)
class ReloadCommand:
    """A program and its arguments."""

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a command as a shell splits it.

        Raises:
            InvalidInputError: `reload-command`: quotes do not match, nothing is in it, or there is no such program.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as exc:
            raise InvalidInputError("reload-command", f"The reload command {text!r} cannot be read: {exc}.") from exc
        if not words or shutil.which(words[0]) is None:
            named = words[0] if words else text
            raise InvalidInputError("reload-command", f"The reload command names no program: {named!r} was not found.")
        return cls(words)

    def run(self, *, limit_seconds: float = LIMIT_SECONDS) -> Reloaded:
        """Run it to its end; what it prints goes to stderr. Signals for us are not passed on to it."""
        environment = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
        try:
            process = subprocess.Popen(  # noqa: S603 - the words are the caller's own, no shell
                self.words, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment, start_new_session=True
            )
        except OSError as exc:
            return Reloaded(None, f"it could not be started: {exc.strerror}")
        try:
            code = process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Reloaded(None, f"it did not end within {limit_seconds:g} s")
        return Reloaded(code if code >= 0 else 128 - code)
