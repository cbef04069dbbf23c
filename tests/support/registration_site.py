"""A manufacturing site: a PKI directory made with openssl alone, and `ownroot serve registration` as a real process."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.openssl_owner import P256, Habit, OpensslOwner, make_openssl_pki
from tests.support.registration_server import Answer
from tests.support.world import PROGRAM, START_SECONDS, operate, stop

GATEWAY = "gw.example"
OSTREE = "ostree.gw.example"


def make_pki(folder: Path, *, factory: str = "acme", habit: Habit = P256, dns_names: tuple[str, ...] = ()) -> Path:
    """Make a PKI directory as `keys ca create --local-ca` leaves it, by openssl; returns its path."""
    folder.mkdir(parents=True)
    owner = make_openssl_pki(folder, factory, habit)
    names = dns_names or (GATEWAY, OSTREE)
    owner.make_server("gateway", names[0])
    csr = owner.read("gateway.csr")
    (folder / "tls-crt").write_text(owner.sign_tls(csr, dns_names=names))
    (folder / "factory_ca.pem").write_text(owner.read("root.pem"))
    return folder


def owner_of(pki: Path, *, factory: str = "acme", habit: Habit = P256) -> OpensslOwner:
    """Return the owner who made a directory, to sign more with its root."""
    return OpensslOwner(pki, factory, habit.curve, habit)


@dataclass(slots=True)
class RegistrationSite:
    """A site whose server may be killed and started again; journal and PKI stay."""

    data: Path
    pki: Path
    log_file: Path
    options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    url: str = ""

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    @property
    def log(self) -> str:
        """Everything the server printed so far."""
        return self.log_file.read_text()

    def start(self, *more: str) -> None:
        """Start the server; `more` options come after the site's own."""
        command = [PROGRAM, "serve", "registration", "--data", str(self.data), "--pki-dir", str(self.pki)]
        command += ["--listen", "127.0.0.1:0", *self.options, *more]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=os.environ | self.environment
            )
        self._wait_until_ready()

    def refuse_to_start(self, *more: str) -> str:
        """Start a server that must not serve; returns what it said."""
        command = [PROGRAM, "serve", "registration", "--data", str(self.data), "--pki-dir", str(self.pki)]
        done = subprocess.run(
            [*command, "--listen", "127.0.0.1:0", *self.options, *more],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            env=os.environ | self.environment,
        )
        assert done.returncode != 0
        return done.stderr

    def kill(self) -> None:
        """End the server where it stands, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> None:
        """End the server as its operator does."""
        if self.process is not None:
            stop(self.process)

    def operate(self, *arguments: str) -> Any:
        """Run a command of `ownroot registration` beside the server and return its JSON."""
        return operate(self.data, "registration", *arguments)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send one request as it is, over a connection of its own."""
        connection = (
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            if tls is None
            else http.client.HTTPSConnection("localhost", self.port, timeout=30, context=tls)
        )
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def sign(self, document: object, **options: Any) -> Answer:
        """Send a registration: a document, or bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return self.send("POST", "/sign", body=body, headers=headers, **options)

    def metric(self, name: str) -> float:
        """Return the sum of a figure of `/metrics` over its labels."""
        lines = self.send("GET", "/metrics").body.decode().splitlines()
        values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        assert values, name
        return sum(values)

    def entries(self, decision: str = "") -> list[dict[str, Any]]:
        """Return the log, or the entries with one decision."""
        return [entry for entry in self.operate("export") if decision in ("", entry["decision"])]

    def _wait_until_ready(self) -> None:
        report_file, deadline = self.data / "serve-registration.json", time.monotonic() + START_SECONDS
        assert self.process is not None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended: {self.log}"
            if report_file.exists():
                report = json.loads(report_file.read_bytes())
                if report["pid"] == self.process.pid:
                    self.url = report["registration"]
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server was not ready in {START_SECONDS:g} s: {self.log}")


@contextmanager
def registration_site(
    folder: Path, *options: str, pki: Path | None = None, start: bool = True, environment: dict[str, str] | None = None
) -> Iterator[RegistrationSite]:
    """Make a site in `folder` and serve; the server is stopped at the end whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pki or make_pki(folder / "pki")
    site = RegistrationSite(folder / "site", made, folder / "server.log", list(options), environment or {})
    try:
        if start:
            site.start()
        yield site
    finally:
        site.stop()
