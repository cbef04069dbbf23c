"""The demonstration: a real server, a take-over, three devices, a stranger, a clone and a farewell.

Run by `./run demo`. Every step is one of the real programs run as a process, on loopback, with keys that are thrown
away at the end; it checks what it tells and fails when something does not happen.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from ownroot.client.gateway import GatewayClient
from ownroot.clock import utc_now
from ownroot.device.check_in import open_gateway
from ownroot.device.identity import load_identity
from ownroot.errors import OwnrootError, UnavailableError
from ownroot.sim.programs import Programs, RunningServer, serving
from ownroot.sim.site import Site, forge_site, open_site

FACTORY = "acme"
BASE_NAME = "gateway.localhost"
_ONLINE_DEVICES = ("pump-1", "pump-2")
_LOCAL_DEVICE = "valve-1"
_CUT_SECONDS = 5.0


class DemoFailedError(Exception):
    """Something did not happen as told."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything the acts share."""

    place: Path
    server: RunningServer
    owner: Programs
    polis_id: str

    @property
    def data(self) -> Path:
        return self.place / "server"

    @property
    def pki(self) -> Path:
        return self.place / "pki"

    def device(self, name: str) -> Path:
        return self.place / name


def main() -> int:
    """Play the demonstration; 0 if everything happened as told."""
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="ownroot-demo-") as place, ExitStack() as stack:
            _play(_set_up(Path(place), stack))
    except DemoFailedError as failed:
        click.echo(f"\nThe demonstration failed: {failed}", err=True)
        return 1
    except subprocess.CalledProcessError as failed:
        click.echo(f"\nThe demonstration failed: {failed}\n{failed.stderr}", err=True)
        return 1
    except OwnrootError as failed:
        click.echo(f"\nThe demonstration failed: {failed.detail}", err=True)
        return 1
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s. Server stopped, keys deleted, nothing left running.")
    return 0


def _play(stage: Stage) -> None:
    _take_over(stage)
    _register_online(stage)
    site = _make_locally(stage)
    _refuse_stranger(stage, site)
    _refuse_clone(stage, site)
    _delete_while_connected(stage)


def _set_up(place: Path, stack: ExitStack) -> Stage:
    programs = Programs({"OWNROOT_CONFIG": str(place / "config.toml")})
    server = stack.enter_context(serving(programs, place / "server", workers=2, gateway_name=BASE_NAME))
    _tell("Operator", "starts the server: API on loopback, device gateway with two workers")
    made = json.loads(
        programs.ownroot("factory", "create", FACTORY, "--owner", "alice", "--data", str(place / "server"), "--json")
    )
    owner = programs.with_environment(
        {"OWNROOT_URL": server.api_url, "OWNROOT_FACTORY": FACTORY, "OWNROOT_TOKEN": made["token"]}
    )
    _tell("Operator", f"creates factory {FACTORY} for alice; until she takes over it runs on the operator's shared PKI")
    return Stage(place, server, owner, made["owner"]["polis-id"])


def _take_over(stage: Stage) -> None:
    stage.owner.ownroot("keys", "ca", "create", str(stage.pki), "--yes")
    names = ", ".join(sorted(path.name for path in stage.pki.iterdir()))
    _tell("Owner", "runs `ownroot keys ca create`: a factory root of her own; nothing changes without its key now")
    _more(f"her files: {names}")


def _register_online(stage: Stage) -> None:
    token = json.loads(
        stage.owner.ownroot(
            *("token", "create", "--factory", FACTORY, "--scope", "devices:create"),
            *("--data", str(stage.data), "--json"),
        )
    )["token"]
    line = stage.owner.with_environment({"OWNROOT_TOKEN": token})
    for name in _ONLINE_DEVICES:
        line.device(
            *("register", "--api", f"{stage.server.api_url}/ota/devices/", "--factory", FACTORY),
            *("--name", name, "--dir", str(stage.device(name))),
        )
        line.device("check-in", "--dir", str(stage.device(name)))
    _tell(
        "Devices", f"{' and '.join(_ONLINE_DEVICES)} register through the API (online CA) and check in over mutual TLS"
    )


def _make_locally(stage: Stage) -> Site:
    url = load_identity(stage.device(_ONLINE_DEVICES[0])).server
    site = open_site(stage.pki, factory=FACTORY, gateway_url=url)
    site.make_device(stage.device(_LOCAL_DEVICE), _LOCAL_DEVICE, now=utc_now())
    stage.owner.device("check-in", "--dir", str(stage.device(_LOCAL_DEVICE)))
    _tell(
        "Device", f"{_LOCAL_DEVICE} was made on the factory floor (local CA, no API) and is known from its first visit"
    )
    return site


def _refuse_stranger(stage: Stage, site: Site) -> None:
    stranger = forge_site(site, polis_id=stage.polis_id, now=utc_now())
    stranger.make_device(stage.device("stranger"), "stranger-1", now=utc_now())
    _tell("Stranger", "comes with a certificate from a CA of the same name, but not the same key")
    _more(_refusal(stage.device("stranger")))


def _refuse_clone(stage: Stage, site: Site) -> None:
    site.make_device(stage.device("clone"), _LOCAL_DEVICE, now=utc_now())
    _tell("Clone", f"calls itself {_LOCAL_DEVICE}, under a stolen local CA, with a key of its own")
    _more(_refusal(stage.device("clone")))


def _delete_while_connected(stage: Stage) -> None:
    identity = load_identity(stage.device(_ONLINE_DEVICES[0]))
    with open_gateway(identity) as gateway:
        _expect(gateway.request("GET", "/device").status == 200, "the device could not connect")
        stage.owner.ownroot("devices", "delete", _ONLINE_DEVICES[0])
        deleted = time.monotonic()
        reason = _ask_until_refused(gateway)
        seconds = time.monotonic() - deleted
    _tell("Owner", f"deletes {_ONLINE_DEVICES[0]} while it is connected")
    _more(f"{seconds:.2f} s after the command returned {reason}")
    listed = json.loads(stage.owner.ownroot("devices", "list", "--json"))
    names = sorted(str(device["name"]) for device in listed["devices"])
    _expect(names == sorted([_ONLINE_DEVICES[1], _LOCAL_DEVICE]), f"unexpected devices are left: {names}")
    _tell("Owner", f"sees what is left with `ownroot devices list`: {', '.join(names)}")


def _refusal(directory: Path) -> str:
    """Let a program that must not get in try; return what the gateway says to it."""
    identity = load_identity(directory)
    with open_gateway(identity) as gateway:
        answer = gateway.request("GET", "/device")
    _expect(answer.status == 403, f"{directory.name} was answered {answer.status} instead of 403")
    return f"403: {answer.text.strip()}"


def _ask_until_refused(gateway: GatewayClient) -> str:
    """Go on asking over the open connection, then over new ones, until the gateway has had enough."""
    deadline = time.monotonic() + _CUT_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = gateway.request("GET", "/device")
        except UnavailableError:
            continue  # our connection was cut; the next request opens a new one and hears why
        if answer.status == 403:
            return f"its connection is cut; the next one hears 403: {answer.text.strip()}"
        time.sleep(0.02)
    raise DemoFailedError("a deleted device was still answered")


def _expect(happened: bool, otherwise: str) -> None:
    if not happened:
        raise DemoFailedError(otherwise)


def _tell(who: str, what: str) -> None:
    click.echo(f"{click.style(f'{who:<9}', bold=True)} {what}")


def _more(what: str) -> None:
    click.echo(f"{'':<9} {click.style(f'-> {what}', dim=True)}")


if __name__ == "__main__":
    sys.exit(main())
