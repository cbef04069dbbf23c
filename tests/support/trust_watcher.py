"""`ownroot trust watch` as a process: what it says is read as it says it, and it is ended whatever happens."""

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ownroot.cli.trust_files import BUNDLE
from ownroot.pki.encoding import parse_certificates
from ownroot.pki.serials import serial_text
from tests.support.owner import Owner

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A directory and the process that keeps it."""

    directory: Path
    process: "subprocess.Popen[str]"
    _said: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def await_event(self, name: str) -> Any:
        """Wait until it says this, and return that; what it says before is passed over."""
        while True:
            said = json.loads(self._said.get(timeout=_SECONDS))
            if said["event"] == name:
                return said

    def said_more(self, seconds: float) -> list[str]:
        """Wait as long and return the names of what it said."""
        threading.Event().wait(seconds)
        return [json.loads(self._said.get())["event"] for _ in range(self._said.qsize())]

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and return the exit code and what is on stderr."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        code = self.process.wait(_SECONDS)
        return code, self.process.stderr.read()


@contextmanager
def watching(owner: Owner, pki: Path, directory: Path, *options: str | Path) -> Iterator[Watched]:
    """Let an owner watch with `--json`, every 0.1 s, pinned to the root in `pki`."""
    words = ["trust", "watch", "--root", pki / "factory_ca.pem", "--interval", "0.1", "--json", *options, directory]
    watched = Watched(directory, owner.start(*words))
    reader = threading.Thread(target=_read, args=(watched,))
    reader.start()
    try:
        yield watched
    finally:
        watched.process.kill()
        watched.process.wait()
        reader.join()
        for stream in (watched.process.stdout, watched.process.stderr):
            assert stream is not None
            stream.close()


def serials_in(directory: Path) -> list[str]:
    """Return the serials of the CAs in the bundle of a directory; fails if it is half written."""
    return [serial_text(ca.serial_number) for ca in parse_certificates((directory / BUNDLE).read_text())]


def _read(watched: Watched) -> None:
    assert watched.process.stdout is not None
    for line in watched.process.stdout:
        watched._said.put(line)
