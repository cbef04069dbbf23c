"""The runbook "the key of a device CA was stolen", command by command, with a thief at work.

Only addresses and the directory of the device are put in the reader's stead, and the serial that step 1 has shown.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.openssl_owner import OpensslOwner
from tests.support.repository import ROOT
from tests.support.tools import require_tool
from tests.support.world import RunningServer, running_server

RUNBOOK = ROOT / "docs" / "runbooks" / "stolen-device-ca.md"
STOLEN = "line-2"


def commands(section: str) -> list[str]:
    """The commands of a section, in order."""
    text = RUNBOOK.read_text(encoding="utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).splitlines()


@dataclass
class Incident:
    """An owner with a device of their own, `pump-1`, and a thief who has copied the CA that signed for it."""

    server: RunningServer
    home: Path
    serial: str = ""

    @property
    def pki(self) -> Path:
        return self.home / "acme-pki"

    @property
    def sota(self) -> Path:
        return self.home / "sota"

    def type(self, command: str) -> str:
        """Run a command of the runbook; it has to work."""
        command = re.sub(r"\bSERIAL\b", self.serial, command)
        command = command.replace("https://api.example.com", self.server.api_url)
        if command.startswith("ownroot-device "):
            command += f" --dir {self.sota}" + (" --uuid pump-1" if " register " in command else "")
        environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OWNROOT_CONFIG": str(self.home / "ownroot.toml"),
            "OWNROOT_URL": self.server.api_url,
            "OWNROOT_FACTORY": self.server.factory,
            "OWNROOT_TOKEN": self.server.owner_token,
        }
        done = subprocess.run(
            ["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def steal(self) -> OpensslOwner:
        """Copy the CA's key to a place where openssl signs with it."""
        lair = self.home / "lair"
        lair.mkdir()
        for suffix in ("key", "pem"):
            (lair / f"{STOLEN}.{suffix}").write_bytes((self.pki / f"{STOLEN}.{suffix}").read_bytes())
        return OpensslOwner(lair, self.server.factory)

    def visit(self, key: Path, certificate: Path) -> tuple[int, str]:
        """One request at the gateway with curl: status and body."""
        name, port = self.server.gateway_name, self.server.gateway_address[1]
        done = subprocess.run(
            [
                *(require_tool("curl"), "--silent", "--max-time", "20", "--write-out", "\n%{http_code}"),
                *("--resolve", f"{name}:{port}:127.0.0.1", "--cacert", str(self.pki / "factory_ca.pem")),
                *("--key", str(key), "--cert", str(certificate), f"https://{name}:{port}/device"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


@pytest.fixture
def incident(tmp_path: Path) -> Iterator[Incident]:
    with running_server(tmp_path / "server", workers=2) as server:
        home = tmp_path / "home"
        home.mkdir()
        incident = Incident(server, home)
        incident.type("ownroot keys ca create ~/acme-pki --yes")
        incident.type("ownroot keys ca add-device-ca ~/acme-pki --local-ca --local-ca-filename line-2.pem")
        yield incident


def becomes(state: Callable[[], bool]) -> bool:
    """Whether it comes about within the time any change may take."""
    deadline = time.monotonic() + 15
    while not (there := state()) and time.monotonic() < deadline:
        pass
    return there


def test_quiet_way_gets_rid_of_the_thief_and_loses_no_device(incident: Incident) -> None:
    thief = incident.steal()
    good, bad, late = (thief.make_device(uuid, ca=STOLEN) for uuid in ("pump-1", "made-up-1", "made-up-2"))
    assert becomes(lambda: incident.visit(*good)[0] == 200)
    assert incident.visit(*bad)[0] == 200
    steps = iter(commands("The quiet way"))

    shown = incident.type(next(steps))
    assert "2 devices will go on" in shown
    assert "made-up-1, pump-1" in shown
    incident.serial = re.findall(r"serial (\d+)", shown)[0]
    incident.type(next(steps))
    assert becomes(lambda: incident.visit(*late)[0] == 403)
    assert "device-ca-disabled" in incident.visit(*late)[1]
    assert [incident.visit(*each)[0] for each in (good, bad)] == [200, 200]

    assert {"pump-1", "made-up-1"} <= set(incident.type(next(steps)).split())
    incident.type(next(steps))
    assert becomes(lambda: incident.visit(*bad)[0] == 403)
    assert incident.visit(*good)[0] == 200

    incident.type(next(steps))
    incident.type(next(steps))
    incident.sota.mkdir()
    (incident.sota / "pkey.pem").write_bytes(good[0].read_bytes())
    incident.type(next(steps))
    assert "pump-1" in incident.type(next(steps))
    assert "No devices" not in incident.type("ownroot devices list")
    assert json.loads(incident.type(f"{next(steps)} --json"))["total"] == 0

    assert "no known device has a certificate from it" in incident.type(next(steps))
    incident.type(next(steps))
    assert incident.serial not in incident.type(next(steps))
    assert becomes(lambda: incident.visit(*good)[0] == 403)
    assert "pump-1" in incident.type(shlex.join(["ownroot-device", "check-in"]))
    assert list(steps) == []


def test_at_once_cuts_everybody_and_the_certificate_brings_the_ca_back(incident: Incident) -> None:
    good = incident.steal().make_device("pump-1", ca=STOLEN)
    assert becomes(lambda: incident.visit(*good)[0] == 200)
    revoke, enable = commands("At once")
    incident.type(revoke)
    assert becomes(lambda: incident.visit(*good)[0] == 403)
    incident.type(enable)
    assert becomes(lambda: incident.visit(*good)[0] == 200)
