"""A server whose API process ends once, as in a power cut, at a call of one function; its supervisor then goes on.

Usage: python -m tests.support.cut_server PART_PROGRAM serve ...: starts parts with PART_PROGRAM in place of Python.
       python -m tests.support.cut_server --part MARKER FUNCTION before|after WHICH_CALL -m MODULE: is such a part. It
       is cut if the file MARKER is not there yet.
"""

import runpy
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ownroot.cli import main as owners
from tests.support.cut_program import cut
from tests.support.repository import ROOT
from tests.support.world import RunningServer, running_server


@dataclass(frozen=True, slots=True)
class Cut:
    """Where: before or after this call of a function, written MODULE:NAME, counted from 1."""

    function: str
    when: str = "before"
    which: int = 1

    def __str__(self) -> str:
        return f"{self.when}-{self.which}-{self.function.rpartition(':')[2]}"


@contextmanager
def cut_server(
    folder: Path, where: Cut, *, factory: str | None = "acme", options: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """Start an API server that is cut once."""
    folder.mkdir(parents=True, exist_ok=True)
    marker, script = folder / "armed", folder / "part"
    words = [sys.executable, "-m", __name__, "--part", str(marker), where.function, where.when, str(where.which)]
    script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.join(words)} "$@"\n')
    script.chmod(0o700)
    program = [sys.executable, "-m", __name__, str(script)]
    with running_server(folder, part="api", factory=factory, program=program, options=options) as server:
        yield server


def _run_part(marker: Path, where: Cut, module: str) -> None:
    if not marker.exists():
        marker.touch()
        cut(where.function, where.when, where.which)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1] == "--part":
        _run_part(Path(sys.argv[2]), Cut(sys.argv[3], sys.argv[4], int(sys.argv[5])), sys.argv[-1])
    else:
        sys.executable = sys.argv.pop(1)
        owners.main()
