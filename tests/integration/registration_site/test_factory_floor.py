"""`ownroot simulate factory-floor` against the real server: what goes wrong, and what never does."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.registration_site import registration_site
from tests.support.world import PROGRAM

FACTORY = ("-f", "acme")


def floor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "OWNROOT_TOKEN"}
    command = [PROGRAM, "simulate", "factory-floor", *FACTORY, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)


def fates(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {fate["fate"]: (fate["boards"], fate["as_expected"]) for fate in report["fates"]}


@pytest.mark.parametrize("devices", [200, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_every_device_ends_with_one_certificate_though_the_server_is_killed(pki: Path, devices: int) -> None:
    done = floor("--devices", str(devices), "--serve-from", str(pki), "--restarts", "3", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["devices"], report["certificates"], report["issued"]) == (devices, devices, devices)
    assert (report["doubles"], report["orphans"], report["restarts"]) == (0, 0, 3)
    assert all(boards == expected > 0 for boards, expected in fates(report).values())


def test_floor_without_faults_has_no_impostors(pki: Path) -> None:
    done = floor("--devices", "20", "--serve-from", str(pki), "--faults", "0", "--restarts", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert {fate: boards for fate, (boards, _) in fates(json.loads(done.stdout)).items() if boards} == {"smooth": 20}


@pytest.mark.parametrize(("policy", "code"), [("reject", 0), ("replace", 1)])
def test_server_that_gives_a_uuid_away_twice_is_found_out(pki: Path, tmp_path: Path, policy: str, code: int) -> None:
    with registration_site(tmp_path, "--requests-per-minute", "0", "--reregister", policy, pki=pki) as site:
        done = floor("--devices", "30", "--url", f"{site.url}/sign", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    boards, expected = fates(json.loads(done.stdout))["two-boards-one-uuid"]
    assert (boards == expected) is (code == 0)


def test_server_that_turns_devices_away_is_found_out(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--requests-per-minute", "0", "--quota", "15", pki=pki) as site:
        done = floor("--devices", "20", "--faults", "0", "--url", f"{site.url}/sign")
    assert done.returncode == 1
    assert "15 of 20 as expected, 5 quota-used-up" in done.stdout
    assert "Not everything ended as it should." in done.stdout


def test_wrong_factory_ends_the_run_at_the_first_answer(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--requests-per-minute", "0", pki=pki) as site:
        done = floor("--devices", "20", "-f", "amce", "--url", f"{site.url}/sign")
        assert len(site.entries()) == 0
        assert floor("--devices", "20", "--faults", "0", "--url", f"{site.url}/sign").returncode == 0
    assert done.returncode == 3
    assert "wrong-factory" in done.stderr


def test_server_that_is_not_there_ends_the_run_at_once() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        done = floor("--devices", "20", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}/sign")
    assert done.returncode == 9
    assert "no-connection" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--url", "http://127.0.0.1:9/sign", "--serve-from", ".")])
def test_one_server_must_be_named(arguments: tuple[str, ...]) -> None:
    assert floor(*arguments).returncode == 2
