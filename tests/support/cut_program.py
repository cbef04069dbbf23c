"""Runs one of our programs until one function of it is called, or has returned, and ends there as a power cut does.

Usage: python -m tests.support.cut_program ownroot|ownroot-device MODULE:NAME before|after WHICH_CALL ARGUMENT...
"""

import importlib
import os
import signal
import sys
from itertools import count
from operator import attrgetter
from typing import Any

from ownroot.cli import main as owners
from ownroot.device import main as devices

_MAINS = {"ownroot": owners.main, "ownroot-device": devices.main}


def cut(function: str, when: str, which: int) -> None:
    """Replace a function, or a method, by one that kills this process at the call with this number, from 1."""
    module, _, path = function.partition(":")
    owner: Any = importlib.import_module(module)
    outer, _, name = path.rpartition(".")
    owner = attrgetter(outer)(owner) if outer else owner
    real = getattr(owner, name)

    calls = count(1)

    def spied(*arguments: Any, **options: Any) -> Any:
        is_last = next(calls) == which
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, spied)


if __name__ == "__main__":
    program = _MAINS[sys.argv[1]]
    cut(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    sys.argv[1:] = sys.argv[5:]
    sys.exit(program())
