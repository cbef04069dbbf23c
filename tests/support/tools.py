"""What some tests need of the machine, Debian's programs above all: found, skipped without, or failed without on CI."""

import os
import shutil
import socket
from typing import NoReturn

import pytest

SYSTEM_PATHS = ("/usr/sbin", "/sbin")


def require_tool(name: str) -> str:
    """Return the path of a program.

    Without it the test is skipped; with `CI=true` it fails, so that a green run never hides a missing judge.
    """
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_PATHS]))
    if path is None:
        lack(f"{name} is missing; ./run test as root installs it")
    return path


def require_own_address() -> str:
    """Return an address of this machine that is not loopback; without one the test is skipped as without a program."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            lack("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def lack(reason: str) -> NoReturn:
    """Skip the test aloud, or fail it on CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
