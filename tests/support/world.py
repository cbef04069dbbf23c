"""A whole server on free ports: the real programs, real sockets, one factory with its owner's token."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

PROGRAM = str(Path(sys.executable).with_name("ownroot"))
START_SECONDS = 60.0
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that serves. `api_url` and `gateway_address` are None for a part that was not started.

    `owner_token` and `factory` are those of the factory made with it, empty if none was.
    """

    data_dir: Path
    process: "subprocess.Popen[bytes]"
    log_file: Path
    api_url: str = ""
    gateway_address: tuple[str, int] = ("", 0)
    gateway_name: str = ""
    factory: str = ""
    owner_token: str = ""
    owner_id: str = ""

    @property
    def log(self) -> str:
        """Everything the server printed so far."""
        return self.log_file.read_text()

    def run(self, *arguments: str) -> Any:
        """Run an operator's command on this server's data and return its JSON."""
        return operate(self.data_dir, *arguments)

    def create_factory(self, name: str, *options: str) -> Any:
        """Make another factory."""
        return self.run("factory", "create", name, *options)

    def for_factory(self, name: str) -> "RunningServer":
        """Make a factory and return this server as its owner sees it."""
        made = self.create_factory(name)
        return replace(self, factory=name, owner_token=made["token"], owner_id=made["owner"]["polis-id"])

    def create_token(self, *scopes: str, factory: str = "", user: str | None = None) -> str:
        """Make a token with these scopes."""
        asked = [word for scope in scopes for word in ("--scope", scope)]
        whose = ["--user", user] if user else []
        made = self.run("token", "create", "--factory", factory or self.factory, *whose, *asked)
        return str(made["token"])

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        document: object = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        """Send one request; `token` empty means the owner's, None means none."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("OSF-TOKEN", token or self.owner_token)
        if document is not None:
            content = json.dumps(document).encode()
            sent.setdefault("Content-Type", "application/json")
        with httpx2.Client(trust_env=False, timeout=30) as client:
            return client.request(method, self.api_url + path, content=content, headers=sent)


@contextmanager
def running_server(
    folder: Path,
    *,
    workers: int = 2,
    factory: str | None = "acme",
    part: str | None = None,
    options: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    program: Sequence[str] = (PROGRAM,),
) -> Iterator[RunningServer]:
    """Start `ownroot serve` on free loopback ports, make a factory, and stop it whatever happens.

    Args:
        folder: the data directory is `folder/data`; one that is there already is used again.
        factory: made through the operator's command while the server runs; None makes none.
        part: `api` or `gateway` alone.
        program: what is started in place of `ownroot`.
    """
    server = _start(folder, workers, part, [*program, "serve"], options, environment)
    try:
        server = _wait_until_ready(server, part)
        yield server if factory is None else server.for_factory(factory)
    finally:
        stop(server.process)


def parts_of(server: RunningServer) -> list[int]:
    """The API process and the gateway workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def operate(data_dir: Path, *arguments: str) -> Any:
    """Run an operator's command with `--json`; raises AssertionError with what it said when it fails."""
    command = [PROGRAM, *arguments, "--data", str(data_dir), "--json"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server: politely, and after a while with everything it started."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _start(
    folder: Path,
    workers: int,
    part: str | None,
    program: Sequence[str],
    options: Sequence[str],
    environment: dict[str, str] | None,
) -> RunningServer:
    folder.mkdir(parents=True, exist_ok=True)
    data_dir, log_file = folder / "data", folder / "server.log"
    command = [*program, *([part] if part else []), "--data", str(data_dir)]
    command += ["--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--workers", str(workers), *options]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=os.environ | (environment or {})
        )
    return RunningServer(data_dir, process, log_file)


def _wait_until_ready(server: RunningServer, part: str | None) -> RunningServer:
    report_file = server.data_dir / (f"serve-{part}.json" if part else "serve.json")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the server ended: {server.log}"
        if report_file.exists():
            report = json.loads(report_file.read_bytes())
            if report["pid"] == server.process.pid:
                host, _, port = report.get("gateway", ":0").rpartition(":")
                return replace(
                    server,
                    api_url=report.get("api", ""),
                    gateway_address=(host, int(port)),
                    gateway_name=report.get("gateway-name", ""),
                )
        time.sleep(0.02)
    raise AssertionError(f"the server was not ready in {START_SECONDS:g} s: {server.log}")
