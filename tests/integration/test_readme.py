"""The deployment path of the README, command by command, as a reader would type it.

Only names, ports and places are put in the reader's stead; what installs packages is left out.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.repository import ROOT
from tests.support.tools import require_tool

INSTALLS = re.compile(r"python3 -m venv|\S*pip install|export PATH")


def commands() -> list[str]:
    """The commands of the section, in order, without those that install."""
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("## A real deployment")[2].partition("\n## ")[0]
    )
    lines = "".join(re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)).splitlines()
    return [line for line in lines if line and not INSTALLS.match(line)]


def make_api_certificate(folder: Path) -> None:
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout api.key -out api.crt -days 2"
    names = ["-subj", "/CN=gw.localhost", "-addext", "subjectAltName=DNS:gw.localhost"]
    command = [require_tool("openssl"), *request.split(), *names]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


class Reader:
    """Somebody who types the commands on one machine, in one directory of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {
            "gw.example.org": "gw.localhost",
            "/var/lib/ownroot": str(folder / "data"),
            "--api 0.0.0.0:8000": "--api 127.0.0.1:0 --gateway 127.0.0.1:0 --workers 1",
        }
        self.environment = os.environ | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "SSL_CERT_FILE": str(folder / "api.crt"),
        }

    def words_of(self, command: str) -> str:
        for theirs, ours in self.names.items():
            command = command.replace(theirs, ours)
        if command.partition("ownroot-device ")[1]:
            command += f" --dir {self.folder / 'sota'}"
        return command

    def type(self, command: str, answer: str = "") -> str:
        done = subprocess.run(
            ["sh", "-c", self.words_of(command).partition("    #")[0]],
            input=answer,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        with (self.folder / "serve.log").open("wb") as log:
            words = self.words_of(command).split()
            process = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        try:
            port = self._wait_for_api(process)
            self.names |= {"gw.localhost:8000": f"gw.localhost:{port}", "gw.example.org:8000": f"gw.localhost:{port}"}
            self.names = dict(sorted(self.names.items(), key=lambda pair: -len(pair[0])))
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def _wait_for_api(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + 60
        text = ""
        while time.monotonic() < deadline and process.poll() is None:
            text = (self.folder / "serve.log").read_text(encoding="utf-8")
            found = re.search(r"^api listening on https://\S+:(\d+)$", text, flags=re.MULTILINE)
            if found:
                return found[1]
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{text}")


def test_ten_minute_path_works_as_written(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    make_api_certificate(tmp_path)
    serve, create, login, take_over, show, token, register, check_in, whoami, listing, examine, delete = commands()

    with reader.serving(serve):
        owner_token = re.search(r"own_\S+", reader.type(create))
        assert owner_token
        reader.type(login, owner_token[0] + "\n")
        reader.type(take_over, "y\n")
        assert "Factory root" in reader.type(show)
        reader.names["own_..."] = reader.type(token).strip()
        reader.type(register)
        reader.type(check_in)
        name = json.loads(reader.type("ownroot devices list --json"))["devices"][0]["name"]
        assert name in reader.type(whoami)
        assert name in reader.type(listing)
        assert "0 faults" in reader.type(examine)
        reader.names["NAME"] = name
        reader.type(delete)
