"""An owner at their machine: runs the real `ownroot` program with an environment of its own."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.repository import ROOT
from tests.support.tools import lack, require_tool

PROGRAM = str(Path(sys.executable).with_name("ownroot"))
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The result; fails the test if the program failed."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON error of a run with `--json`."""
        assert self.code != 0, self.out
        return json.loads(self.err.splitlines()[-1])["error"]


@dataclass(frozen=True, slots=True)
class Owner:
    """One person with a home directory, and what they set in their environment."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def at(self, url: str, *, factory: str, token: str) -> "Owner":
        """Return them with a server, a factory and a token in their environment."""
        known = {"OWNROOT_URL": url, "OWNROOT_FACTORY": factory, "OWNROOT_TOKEN": token}
        return replace(self, environment=self.environment | known)

    def having(self, **variables: str) -> "Owner":
        """Return them with more in their environment."""
        return replace(self, environment=self.environment | variables)

    @property
    def settings_file(self) -> Path:
        """Where the program keeps their logins."""
        return self.home / "config" / "ownroot.toml"

    def run(
        self,
        *arguments: str | Path,
        stdin: str = "",
        umask: int = -1,
        bound_by_modes: bool = False,
        largest_file_bytes: int | None = None,
        without_network: bool = False,
    ) -> Ran:
        """Run the program without a terminal.

        Args:
            bound_by_modes: file modes count, which they do not for root otherwise.
            largest_file_bytes: writing more than this to a file fails, as on a full disk.
            without_network: there is no interface, not even loopback.
        """
        prefix = list(_without_override()) if bound_by_modes else []
        if without_network:
            prefix += _without_network()
        if largest_file_bytes is not None:
            prefix += [require_tool("prlimit"), f"--fsize={largest_file_bytes}"]
        done = subprocess.run(
            [*prefix, PROGRAM, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=self._environment(),
            umask=umask,
            cwd=self.home,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start a program that runs until it is ended; the caller ends it."""
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
            cwd=self.home,
        )

    def run_cut(self, function: str, when: str, which: int, *arguments: str | Path) -> None:
        """Run the program until this call of a function (`tests.support.cut_program`) and kill it there."""
        words = [sys.executable, "-m", "tests.support.cut_program", "ownroot", function, when, str(which)]
        environment = self._environment() | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*words, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=environment,
            cwd=self.home,
        )
        assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr)

    def run_on_terminal(
        self, *arguments: str | Path, typed: str = "", after: str = "", then: Sequence[tuple[str, str]] = ()
    ) -> Ran:
        """Run the program on a terminal; `out` holds everything it showed, `err` is empty.

        Args:
            typed: typed at once, or as soon as the program has shown `after`.
            then: what to wait for next, and what to type then, and so on.
        """
        main, side = pty.openpty()
        process = subprocess.Popen(
            [require_tool("setsid"), "--ctty", "--wait", PROGRAM, *map(str, arguments)],
            stdin=side,
            stdout=side,
            stderr=side,
            env=self._environment() | {"TERM": "xterm-256color", "COLUMNS": "100"},
            cwd=self.home,
        )
        os.close(side)
        try:
            shown = _read_until(main, process, after) if after else b""
            os.write(main, typed.encode())
            for text, answer in then:
                shown += _read_until(main, process, text)
                os.write(main, answer.encode())
            shown += _read_until(main, process)
        finally:
            process.kill()
            os.close(main)
        return Ran(process.wait(), shown.decode(), "")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        return kept | {"HOME": str(self.home), "OWNROOT_CONFIG": str(self.settings_file)} | self.environment


def _without_override() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    dropped = "-dac_override,-dac_read_search"
    return (require_tool("setpriv"), f"--bounding-set={dropped}", f"--inh-caps={dropped}")


def _without_network() -> tuple[str, ...]:
    words = (require_tool("unshare"), "--net", *(() if os.geteuid() == 0 else ("--map-root-user",)))
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        lack("this machine does not let us make a network namespace")
    return words


def _read_until(descriptor: int, process: "subprocess.Popen[bytes]", text: str | None = None) -> bytes:
    """Read what a program shows until this text, or without one until it ends."""
    shown = bytearray()
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and not (text and text.encode() in shown):
        ready, _, _ = select.select([descriptor], [], [], 0.1)
        if not ready and process.poll() is not None:
            break
        if ready:
            try:
                shown += os.read(descriptor, 65536)
            except OSError:  # the other side has closed
                break
    if text is None:
        process.wait(_SECONDS)
    return bytes(shown)
