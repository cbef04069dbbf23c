"""`ownroot-device` as a process against a whole server, and the same process killed at a step."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.support.repository import ROOT
from tests.support.softhsm import PIN, SO_PIN, SoftHsm

PROGRAM = str(Path(sys.executable).with_name("ownroot-device"))


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """One device: its directory, its server, and its token if it has one."""

    directory: Path
    api: str
    factory: str
    token: str = ""
    hsm: SoftHsm | None = None
    more: tuple[str, ...] = ()
    pins: tuple[str, str] = field(default=(SO_PIN, PIN), repr=False)

    def register(self, *more: str) -> "subprocess.CompletedProcess[str]":
        """Run `ownroot-device register` to its end."""
        return self._run([PROGRAM, *self._arguments(*more)])

    def registered(self, *more: str) -> Any:
        """Register and return what the program says; raises AssertionError if it fails."""
        done = self.register("--json", *more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def register_cut(self, function: str, when: str = "before", which: int = 1, *more: str) -> None:
        """Run it until this call of the function, or until that has returned, and kill it there."""
        cut = [sys.executable, "-m", "tests.support.cut_program", "ownroot-device", function, when, str(which)]
        done = self._run([*cut, *self._arguments(*more)])
        assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr)

    def run_cut(self, function: str, when: str, which: int, *arguments: str) -> None:
        """Run any other command until this call of the function, or until that has returned, and kill it there."""
        words = [
            sys.executable,
            "-m",
            "tests.support.cut_program",
            "ownroot-device",
            function,
            when,
            str(which),
            *arguments,
        ]
        done = self._run([*words, "--dir", str(self.directory)])
        assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run any other command of the program on this device's directory."""
        return self._run([PROGRAM, *arguments, "--dir", str(self.directory)])

    @property
    def files(self) -> list[str]:
        """The names in the device's directory."""
        return sorted(path.name for path in self.directory.iterdir())

    def _arguments(self, *more: str) -> list[str]:
        words = ["register", "--api", self.api, "--factory", self.factory, "--dir", str(self.directory)]
        words += ["--hsm-module", str(self.hsm.module)] if self.hsm else []
        return [*words, *self.more, *more]

    def _run(self, words: list[str]) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, **({"OWNROOT_TOKEN": self.token} if self.token else {})}
        if self.hsm:
            environment |= self.hsm.environment
            environment |= {"OWNROOT_HSM_SO_PIN": self.pins[0], "OWNROOT_HSM_PIN": self.pins[1]}
        return subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )


def certificate_of(device: DeviceProgram) -> x509.Certificate:
    """Read `client.pem` of a device."""
    return x509.load_pem_x509_certificate((device.directory / "client.pem").read_bytes())
