"""`ownroot-device daemon` as a process that a test listens to."""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.device_program import PROGRAM
from tests.support.renewing import Renewing

PATIENCE_SECONDS = 60.0


class Running:
    """A daemon and what it says."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_for(self, event: str) -> str:
        """Read until this happens; returns the sentence about it."""
        while True:
            said = self._said.get(timeout=PATIENCE_SECONDS)
            if said["event"] == event:
                return str(said["detail"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))


@contextmanager
def daemon(device: Renewing, *options: str) -> Iterator[Running]:
    words = [PROGRAM, "daemon", "--json", "--period", "1", "--dir", str(device.program.directory)]
    words += [f"--{name}-dir={device.place / name}" for name in ("secrets", "handlers", "actions")]
    environment = os.environ | (device.program.hsm.environment if device.program.hsm else {})
    process = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()


def order(device: Renewing, rotation: str, *, scheme: str = "https", server: str = "") -> dict[str, Any]:
    """What an owner pushes to make a device renew. `server`: the base URL of EST; the gateway's if empty."""
    est = (server or device.gateway.replace("https", scheme)) + "/.well-known/est"
    value = f"ESTSERVER={est}\nPKEYIDS=01,07\nCERTIDS=03,09\nROTATIONID={rotation}\n"
    handler = ["/usr/share/fioconfig/handlers/renew-client-cert"]
    return {"name": "fio-rotate-certs", "value": value, "unencrypted": True, "on-changed": handler}
