"""From the floor to the gateway: the real device program registers at a site and visits a real gateway.

The owner took the factory over with `ownroot keys ca create`; the site has the directory that made, the key in it
or on a token.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.device_csrs import device_csr
from tests.support.registration_site import RegistrationSite, registration_site
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm
from tests.support.world import RunningServer, running_server

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("world"), workers=1, factory=None) as running:
        yield running


def run(program: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(BIN / program), *arguments],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def take_over(server: RunningServer, pki: Path, *options: str, environment: dict[str, str] | None = None) -> None:
    owner = {"OWNROOT_URL": server.api_url, "OWNROOT_FACTORY": server.factory, "OWNROOT_TOKEN": server.owner_token}
    run("ownroot", "keys", "ca", "create", str(pki), "--yes", *options, environment=owner | (environment or {}))


def register_and_visit(site: RegistrationSite, factory: str, directory: Path) -> dict[str, object]:
    place = ("--dir", str(directory))
    run("ownroot-device", "register", "--api", f"{site.url}/sign", "--factory", factory, *place, "--json")
    seen: dict[str, object] = json.loads(run("ownroot-device", "check-in", *place, "--json"))
    return seen


def test_device_of_a_site_is_let_in_at_its_first_visit(server: RunningServer, tmp_path: Path) -> None:
    world = server.for_factory("floor")
    take_over(world, tmp_path / "pki")
    port = str(world.gateway_address[1])
    with registration_site(tmp_path, "--gateway-port", port, pki=tmp_path / "pki") as site:
        seen = register_and_visit(site, "floor", tmp_path / "device")
        assert seen["factory"] == "floor"
        (entry,) = site.entries("registered")
        assert entry["uuid"] == seen["uuid"]


def test_site_with_its_key_on_a_token_does_the_same(server: RunningServer, tmp_path: Path) -> None:
    world, hsm = server.for_factory("vault"), soft_hsm(tmp_path / "hsm")
    token = ("--hsm-module", str(hsm.module), "--hsm-token-label", LABEL, "--local-ca-hsm-label", "line-1")
    environment = pin_of(hsm)
    take_over(world, tmp_path / "pki", *token, environment=environment)
    assert not (tmp_path / "pki" / "local-ca.key").exists()
    options = (*token, "--gateway-port", str(world.gateway_address[1]))
    with registration_site(tmp_path, *options, pki=tmp_path / "pki", environment=environment) as site:
        assert register_and_visit(site, "vault", tmp_path / "device")["factory"] == "vault"


def pin_of(hsm: SoftHsm) -> dict[str, str]:
    return hsm.environment | {"OWNROOT_HSM_PIN": PIN}


def test_device_of_a_disabled_local_ca_is_not_let_in(server: RunningServer, tmp_path: Path) -> None:
    world, pki = server.for_factory("closed"), tmp_path / "pki"
    take_over(world, pki)
    owner = {"OWNROOT_URL": world.api_url, "OWNROOT_FACTORY": world.factory, "OWNROOT_TOKEN": world.owner_token}
    with registration_site(tmp_path, "--gateway-port", str(world.gateway_address[1]), pki=pki) as site:
        disable = ("keys", "ca", "disable-device-ca", str(pki), "--ca-file", "local-ca.pem", "--yes")
        run("ownroot", *disable, environment=owner)
        place = ("--dir", str(tmp_path / "device"))
        run("ownroot-device", "register", "--api", f"{site.url}/sign", "--factory", "closed", *place)
        visit = [str(BIN / "ownroot-device"), "check-in", *place]
        refused = subprocess.run(visit, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 4
        assert "disabled" in refused.stderr


# --- announced to the backend --------------------------------------------------------------------------------------


def announcing(world: RunningServer, folder: Path) -> tuple[str, ...]:
    token = folder / "token"
    token.write_text(world.create_token("devices:create"))
    token.chmod(0o600)
    port = str(world.gateway_address[1])
    return ("--gateway-port", port, "--api-url", f"{world.api_url}/ota/devices/", "--api-token-file", str(token))


def known(world: RunningServer) -> dict[str, dict[str, object]]:
    answer = world.call("GET", f"/ota/devices/?factory={world.factory}")
    return {str(device["uuid"]): device for device in answer.json()["devices"]}


def await_done(site: RegistrationSite, number: int) -> None:
    deadline = time.monotonic() + 15
    while site.operate("queue")["targets"][0]["done"] < number:
        assert time.monotonic() < deadline, site.operate("queue")
        time.sleep(0.05)


def test_backend_knows_a_device_by_name_before_it_comes_and_lets_it_in(server: RunningServer, tmp_path: Path) -> None:
    world = server.for_factory("told")
    take_over(world, tmp_path / "pki")
    with registration_site(tmp_path, *announcing(world, tmp_path), pki=tmp_path / "pki") as site:
        place = ("--dir", str(tmp_path / "device"))
        register = ("register", "--api", f"{site.url}/sign", "--factory", "told", "--uuid", "board-1", "--name", "pump")
        run("ownroot-device", *register, *place)
        await_done(site, 1)
        assert known(world)["board-1"]["name"] == "pump"
        assert json.loads(run("ownroot-device", "check-in", *place, "--json"))["name"] == "pump"
        site.operate("replay", "backend")
        await_done(site, 1)
        assert list(known(world)) == ["board-1"]


def test_group_the_backend_does_not_know_waits_until_it_does(server: RunningServer, tmp_path: Path) -> None:
    world = server.for_factory("grouped")
    take_over(world, tmp_path / "pki")
    options = (*announcing(world, tmp_path), "--group", "edge")
    with registration_site(tmp_path, *options, pki=tmp_path / "pki") as site:
        assert site.sign(request("board-1")).status == 201
        deadline = time.monotonic() + 15
        while not (waiting := site.operate("queue")["announcements"])[0]["fault"]:
            assert time.monotonic() < deadline
        assert waiting[0]["fault"].startswith("HTTP 400")
        made = world.call("POST", "/ota/factories/grouped/device-groups/", document={"name": "edge"})
        assert made.status_code < 300, made.text
        site.operate("retry")
        await_done(site, 1)
        assert "board-1" in known(world)


def test_replaced_key_is_a_conflict_that_somebody_sees(server: RunningServer, tmp_path: Path) -> None:
    world = server.for_factory("replaced")
    take_over(world, tmp_path / "pki")
    options = (*announcing(world, tmp_path), "--reregister", "replace")
    with registration_site(tmp_path, *options, pki=tmp_path / "pki") as site:
        assert site.sign(request("board-1", factory="replaced")).status == 201
        await_done(site, 1)
        assert site.sign(request("board-1", factory="replaced")).status == 201
        deadline = time.monotonic() + 15
        while not (dead := site.operate("queue", "--dead")["announcements"]):
            assert time.monotonic() < deadline
        assert dead[0]["fault"].startswith("HTTP 409")
        steps = re.findall(r"`(ownroot [^`]+)`", run("ownroot", "registration", "queue", "--data", str(site.data)))
        owner = {"OWNROOT_URL": world.api_url, "OWNROOT_FACTORY": world.factory, "OWNROOT_TOKEN": world.owner_token}
        for step in steps[:2]:
            run(*step.replace("NAME", "board-1").split(), "--yes", environment=owner)
        run(*steps[2].split(), "--data", str(site.data))
        await_done(site, 2)
        assert [entry["state"] for entry in site.operate("queue")["announcements"]] == []


def test_second_step_of_a_replaced_key_is_needed(server: RunningServer, tmp_path: Path) -> None:
    world = server.for_factory("skipped")
    take_over(world, tmp_path / "pki")
    with registration_site(tmp_path, *announcing(world, tmp_path), pki=tmp_path / "pki") as site:
        assert site.sign(request("board-1", factory="skipped")).status == 201
        await_done(site, 1)
        owner = {"OWNROOT_URL": world.api_url, "OWNROOT_FACTORY": world.factory, "OWNROOT_TOKEN": world.owner_token}
        run("ownroot", "devices", "delete", "board-1", "--yes", environment=owner)
        site.operate("replay", "backend")
        deadline = time.monotonic() + 15
        while not (dead := site.operate("queue", "--dead")["announcements"]):
            assert time.monotonic() < deadline
        assert dead[0]["fault"].startswith("HTTP 409")


def request(uuid: str, *, factory: str = "grouped") -> dict[str, str]:
    return {"csr": device_csr(uuid, factory=factory), "hardware-id": "imx8"}
