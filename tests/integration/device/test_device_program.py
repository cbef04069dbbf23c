"""`ownroot-device` and `ownroot simulate` as processes, against a whole server."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.world import RunningServer

BIN = Path(sys.executable).parent


def run(program: str, *arguments: str, token: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OWNROOT_TOKEN": token}
    return subprocess.run(
        [str(BIN / program), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def register(server: RunningServer, directory: Path, token: str, *more: str) -> "subprocess.CompletedProcess[str]":
    return run(
        "ownroot-device",
        *("register", "--api", f"{server.api_url}/ota/devices/", "--factory", server.factory),
        *("--dir", str(directory), *more),
        token=token,
    )


def test_registered_device_checks_in_and_is_told_who_it_is(
    server: RunningServer, line_token: str, tmp_path: Path
) -> None:
    done = register(server, tmp_path / "sota", line_token, "--name", "pump", "--json")
    assert done.returncode == 0, done.stderr
    uuid = json.loads(done.stdout)["uuid"]
    assert stat.S_IMODE((tmp_path / "sota" / "pkey.pem").stat().st_mode) == 0o600
    seen = run("ownroot-device", "check-in", "--dir", str(tmp_path / "sota"), "--json")
    assert seen.returncode == 0, seen.stderr
    device = json.loads(seen.stdout)
    assert (device["uuid"], device["name"], device["Name"], device["factory"]) == (uuid, "pump", "pump", server.factory)
    shown = run("ownroot-device", "whoami", "--dir", str(tmp_path / "sota"))
    assert uuid in shown.stdout


def test_token_without_the_scope_is_refused_and_leaves_only_the_key(server: RunningServer, tmp_path: Path) -> None:
    done = register(server, tmp_path / "sota", server.create_token("devices:read"))
    assert done.returncode == 4
    assert "devices:create" in done.stderr
    assert [path.name for path in (tmp_path / "sota").iterdir()] == ["pkey.pem"]


def test_unknown_token_says_so(server: RunningServer, tmp_path: Path) -> None:
    done = register(server, tmp_path / "sota", "own_nobody")
    assert done.returncode == 5


def test_second_registration_needs_force_and_then_keeps_the_identity(
    server: RunningServer, line_token: str, tmp_path: Path
) -> None:
    first = register(server, tmp_path / "sota", line_token, "--json")
    again = register(server, tmp_path / "sota", line_token)
    assert again.returncode == 7
    assert "--force" in again.stderr
    forced = register(server, tmp_path / "sota", line_token, "--force", "--json")
    assert json.loads(forced.stdout)["uuid"] == json.loads(first.stdout)["uuid"]


def test_deleted_device_hears_why_it_is_refused(server: RunningServer, line_token: str, tmp_path: Path) -> None:
    register(server, tmp_path / "sota", line_token, "--uuid", "doomed")
    assert run("ownroot-device", "check-in", "--dir", str(tmp_path / "sota")).returncode == 0
    assert server.call("DELETE", f"/ota/devices/doomed/?factory={server.factory}").status_code < 300
    refused = run("ownroot-device", "check-in", "--dir", str(tmp_path / "sota"))
    assert refused.returncode == 4
    assert "deleted" in refused.stderr


def test_directory_that_is_not_registered_says_what_to_do(tmp_path: Path) -> None:
    done = run("ownroot-device", "whoami", "--dir", str(tmp_path))
    assert done.returncode == 6
    assert "ownroot-device register" in done.stderr


def test_device_from_before_the_take_over_is_told_to_register_again(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("taken-over")
    other = server.for_factory("taken-over")
    token = other.create_token("devices:create")
    assert register(other, place / "sota", token).returncode == 0
    owner = {"OWNROOT_URL": other.api_url, "OWNROOT_FACTORY": other.factory, "OWNROOT_TOKEN": other.owner_token}
    create = [str(BIN / "ownroot"), "keys", "ca", "create", str(place / "pki"), "--yes"]
    subprocess.run(create, env={**os.environ, **owner}, check=True, capture_output=True, timeout=60)
    stranded = run("ownroot-device", "check-in", "--dir", str(place / "sota"))
    assert stranded.returncode == 4
    assert "register --force" in stranded.stderr
    assert register(other, place / "sota", token, "--force").returncode == 0
    assert run("ownroot-device", "check-in", "--dir", str(place / "sota")).returncode == 0


def test_simulated_fleet_registers_and_checks_in(server: RunningServer, line_token: str) -> None:
    done = run(
        "ownroot",
        *("simulate", "--devices", "5", "--rounds", "2", "--url", server.api_url, "-f", server.factory, "--json"),
        token=line_token,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["registrations"]["done"], report["check_ins"]["done"]) == (5, 10)


def test_fleet_with_a_bad_token_reports_the_reason_and_fails(server: RunningServer) -> None:
    done = run(
        "ownroot",
        *("simulate", "--devices", "2", "--seed", "2", "--url", server.api_url, "-f", server.factory, "--json"),
        token="own_wrong",
    )
    assert done.returncode != 0
    assert sum(json.loads(done.stdout)["registrations"]["failures"].values()) == 2
