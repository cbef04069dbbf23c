"""A device that is left alone: `ownroot-device daemon` against a real gateway, as a process."""

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.device_program import PROGRAM
from tests.support.renewing import SAVE, Renewing, renewing
from tests.support.world import RunningServer

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
    process = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, text=True)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def device(server: RunningServer, line_token: str, tmp_path: Path) -> Renewing:
    return renewing(server, line_token, tmp_path)


def order(device: Renewing, rotation: str, *, scheme: str = "https") -> dict[str, Any]:
    est = device.gateway.replace("https", scheme) + "/.well-known/est"
    value = f"ESTSERVER={est}\nPKEYIDS=01,07\nCERTIDS=03,09\nROTATIONID={rotation}\n"
    handler = ["/usr/share/fioconfig/handlers/renew-client-cert"]
    return {"name": "fio-rotate-certs", "value": value, "unencrypted": True, "on-changed": handler}


def test_what_the_owner_pushes_arrives_and_sigterm_ends_it_cleanly(device: Renewing) -> None:
    with daemon(device) as running:
        device.push({"name": "a", "value": "1", "unencrypted": True})
        running.wait_for("configured")
        assert (device.place / "secrets" / "a").read_text() == "1"
        assert running.stop() == 0


def test_an_order_of_the_owner_is_carried_out_once(device: Renewing) -> None:
    before = device.certificate
    device.push(order(device, "certs-7"))
    with daemon(device) as running:
        assert running.wait_for("renewed").startswith("certs-7")
        renewed = device.certificate
        device.push({"name": "later", "value": "1", "unencrypted": True})
        running.wait_for("configured")
        running.stop()
    assert device.certificate == renewed
    assert all(success for _, success in device.events("certs-7"))
    device.assert_renewed(before)


def test_an_order_that_names_no_https_server_is_told_and_not_followed(device: Renewing) -> None:
    before = device.certificate
    device.push(order(device, "certs-8", scheme="http"))
    with daemon(device) as running:
        assert "renewal-order" in running.wait_for("renewal-failed")
        running.stop()
    assert device.certificate == before


def test_a_renewal_that_was_cut_is_ended_before_anything_else(device: Renewing) -> None:
    before = device.certificate
    device.program.run_cut(SAVE, "after", 3, "renew")
    with daemon(device) as running:
        running.wait_for("renewed")
        running.stop()
    device.assert_renewed(before)
