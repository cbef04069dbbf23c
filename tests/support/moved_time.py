"""A wall clock that a test moves, for whole processes and all of them at once.

Only the time of day is moved, by a few lines of C that are loaded before libc (`moved_time.c`); waiting and time-outs
stay real.
"""

import struct
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.support.tools import require_tool

_SOURCE: Final = Path(__file__).with_suffix(".c")


class MovedTime:
    """The time of every process that runs in `environment`.

    Args:
        folder: for the library that is built and the file both sides share.
    """

    def __init__(self, folder: Path) -> None:
        compiler = require_tool("cc")
        self._library = folder / "moved_time.so"
        self._file = folder / "moved-time"
        subprocess.run([compiler, "-O1", "-Wall", "-shared", "-fPIC", "-o", self._library, _SOURCE], check=True)
        self._file.write_bytes(bytes(8))

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs in its environment to follow."""
        return {"LD_PRELOAD": str(self._library), "MOVED_TIME_FILE": str(self._file)}

    def move_to(self, offset: timedelta) -> None:
        """Let it be that much later than it is, from now on."""
        # In place: the processes have this very file in their memory.
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", int(offset.total_seconds())))
