"""Running the real programs as a person would: as processes, with their own arguments and output."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ownroot.errors import UnavailableError

_START_SECONDS = 60
_STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that is up: where it listens and the process group it runs in."""

    api_url: str
    gateway_port: int
    process: subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Programs:
    """The two console programs, run from this very installation with one environment."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def ownroot(self, *arguments: str) -> str:
        """Run `ownroot` to its end; return what it printed.

        Raises:
            CalledProcessError: it failed; its error text is in `stderr`.
        """
        return self._run("ownroot", arguments)

    def device(self, *arguments: str) -> str:
        """Run `ownroot-device` to its end; as `ownroot`."""
        return self._run("ownroot-device", arguments)

    def with_environment(self, more: Mapping[str, str]) -> "Programs":
        """Return the programs with these variables set besides."""
        return Programs({**self.environment, **more})

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs a console script of this installation."""
        return [str(Path(sys.executable).with_name(program)), *arguments]

    def _run(self, program: str, arguments: tuple[str, ...]) -> str:
        done = subprocess.run(  # noqa: S603 - our own program, no shell
            self.command(program, *arguments),
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout


@contextmanager
def serving(programs: Programs, data: Path, *, workers: int, gateway_name: str) -> Iterator[RunningServer]:
    """Run `ownroot serve` on free loopback ports for the length of the block; nothing is left running after it.

    Raises:
        UnavailableError: `server-did-not-start`, with the end of its log.
    """
    log = data.with_suffix(".log")
    arguments = ["serve", "--data", str(data), "--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]
    arguments += ["--gateway-name", gateway_name, "--workers", str(workers)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            programs.command("ownroot", *arguments),
            env={**os.environ, **programs.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _wait_until_ready(process, data / "serve.json", log)
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], ready_file: Path, log: Path) -> RunningServer:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready_file.exists():
            ready = json.loads(ready_file.read_text(encoding="utf-8"))
            port = int(str(ready["gateway"]).rpartition(":")[2])
            return RunningServer(str(ready["api"]), port, process)
        time.sleep(0.05)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise UnavailableError("server-did-not-start", f"The server did not start:\n{tail}", retry_after=1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop, then end whatever is left of its process group."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
