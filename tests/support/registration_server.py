"""The API as a real process on a data directory, which tests may kill at any moment and start again."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ownroot.services.scopes import Scope
from tests.support.world import RunningServer, running_server


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


class RegistrationServer:
    """`ownroot serve api` with the factory `acme`; the process may change, data and token stay."""

    def __init__(self, folder: Path, processes: ExitStack, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._processes = processes
        self._options = options
        self._running = processes.enter_context(running_server(folder, part="api", options=options))
        self.token = self._running.owner_token

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._running.data_dir

    @property
    def port(self) -> int:
        """Where the API listens, on 127.0.0.1."""
        return urlsplit(self._running.api_url).port or 0

    @property
    def world(self) -> RunningServer:
        """The running server itself."""
        return self._running

    def kill(self) -> None:
        """End every process of the server where it stands, as a power cut would."""
        group = self._running.process.pid
        os.killpg(group, signal.SIGKILL)
        self._running.process.wait(30)
        # A process killed while it waits for the disk lives on until the disk answers, and its locks with it.
        while any(_is_alive_in(group, stat) for stat in Path("/proc").glob("[0-9]*/stat")):
            time.sleep(0.001)

    def restart(self) -> None:
        """Start again on the same data, on another port."""
        self._running = self._processes.enter_context(
            running_server(self._folder, part="api", factory=None, options=self._options)
        )

    def stop(self) -> None:
        """End the server as its operator does."""
        self._processes.close()

    def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request as it is, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request with the owner's token."""
        headers = {"OSF-TOKEN": self.token, **options.pop("headers", {})}
        return self.send(method, path, headers=headers, **options)

    def post(self, document: object, **options: Any) -> Answer:
        """Send a registration: a document, or bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return self.request("POST", "/ota/devices/", body=body, headers=headers, **options)

    def new_token(self, *scopes: Scope, user: str | None = None) -> str:
        """Make another token with only these scopes, for the owner unless another user is named."""
        return self._running.create_token(*(scope.value for scope in scopes), factory="acme", user=user)


@contextmanager
def registration_server(folder: Path, options: Sequence[str] = ()) -> Iterator[RegistrationServer]:
    """Serve the API on a fresh data directory in `folder`; stops what is still running at the end."""
    with ExitStack() as processes:
        yield RegistrationServer(folder, processes, options)


def _is_alive_in(group: int, stat: Path) -> bool:
    try:
        state, _parent, found = stat.read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):  # it ended meanwhile
        return False
    return int(found) == group and state not in "ZX"
