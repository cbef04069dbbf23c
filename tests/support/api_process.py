"""The API as a real process on a data directory, which tests may kill at any moment and start again."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ownroot.services.ports import Scope
from tests.support.device_csrs import FACTORY

PROGRAM = str(Path(sys.executable).with_name("ownroot"))


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in lower case and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def files(self) -> dict[str, str]:
        """The files of a 201."""
        assert self.status == 201, self.body
        return {str(name): str(text) for name, text in self.document.items()}

    @property
    def problem(self) -> dict[str, Any]:
        """An error in the one form that devices show: an object with a message and flat errors."""
        document = self.document
        assert self.status >= 400
        assert self.headers["content-type"] == "application/json"
        assert isinstance(document, dict)
        assert isinstance(document["message"], str)
        assert document["message"]
        errors = document.get("errors", {})
        assert all(isinstance(text, str) for text in (errors.values() if isinstance(errors, dict) else errors))
        return document


class ApiProcess:
    """One running `ownroot serve api`."""

    def __init__(self, data: Path) -> None:
        self._log = data.with_name(f"{data.name}.log")
        started_at = self._log.stat().st_size if self._log.exists() else 0
        options = ["--data", str(data), "--api", "127.0.0.1:0", "--gateway-name", "gateway.localhost"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", "api", *options], stdout=log, stderr=log, start_new_session=True
            )
        self.port = self._wait_for_port(started_at)

    @property
    def pid(self) -> int:
        """The process that serves the API."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the server printed."""
        return self._log.read_text()

    def kill(self) -> None:
        """End the process where it stands, as a power cut would."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> int:
        """Ask the process to end; returns its status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def _wait_for_port(self, started_at: int) -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.search(r"api listening on http://127\.0\.0\.1:(\d+)", self.log[started_at:])
            if found:
                return int(found[1])
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start:\n{self.log}")


@dataclass(slots=True)
class RegistrationServer:
    """A data directory with the factory `acme`, served by a process that may change."""

    data: Path
    api: ApiProcess
    token: str

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request with the owner's token."""
        headers = {"OSF-TOKEN": self.token, **options.pop("headers", {})}
        return self.api.request(method, path, headers=headers, **options)

    def post(self, document: object, **options: Any) -> Answer:
        """Send a registration."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return self.request("POST", "/ota/devices/", body=body, headers=headers, **options)

    def new_token(self, *scopes: Scope) -> str:
        """Make another token with only these scopes."""
        options = [option for scope in scopes for option in ("--scope", scope.value)]
        made = operate("token", "create", "--factory", FACTORY, *options, "--data", str(self.data), "--json")
        return str(made["token"])

    def restart(self) -> None:
        """Start a process again after the last one was killed."""
        self.api = ApiProcess(self.data)


def operate(*arguments: str) -> dict[str, Any]:
    """Run an operator's command and return what it printed as JSON."""
    done = subprocess.run([PROGRAM, *arguments], check=True, capture_output=True)
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


@contextmanager
def registration_server(folder: Path) -> Iterator[RegistrationServer]:
    """Serve the API on a fresh data directory with the factory `acme` on the shared PKI."""
    data = folder / "data"
    data.mkdir(parents=True)
    api = ApiProcess(data)
    server = None
    try:
        made = operate("factory", "create", FACTORY, "--data", str(data), "--json")
        server = RegistrationServer(data, api, str(made["token"]))
        yield server
    finally:
        (server.api if server else api).kill()
