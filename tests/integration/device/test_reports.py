"""What `ownroot-device check-in` reports, up to what the owner reads of it by API and program."""

import json
from pathlib import Path

import pytest

from ownroot.device.check_in import open_gateway
from ownroot.device.identity import load_identity
from ownroot.device.system_report import REPORTED_FILE
from tests.support.device_program import DeviceProgram
from tests.support.owner import Owner
from tests.support.reporting import COMMAND_ID, an_event, events_body
from tests.support.world import RunningServer

UPDATE, TEST = "certs-42", f"/tests/{COMMAND_ID}"


@pytest.fixture
def device(tmp_path: Path, server: RunningServer, line_token: str) -> DeviceProgram:
    """A registered device."""
    made = DeviceProgram(tmp_path / "sota", f"{server.api_url}/ota/devices/", server.factory, line_token)
    made.registered("--name", f"line-{tmp_path.name}")
    return made


@pytest.fixture
def owner(tmp_path: Path, server: RunningServer) -> Owner:
    home = tmp_path / "home"
    home.mkdir()
    return Owner(home).at(server.api_url, factory=server.factory, token=server.owner_token)


def test_check_in_reports_what_has_changed_and_nothing_twice(
    device: DeviceProgram, owner: Owner, server: RunningServer
) -> None:
    name = name_of(device)
    assert device.run("check-in").returncode == 0
    first = server.call("GET", f"/ota/devices/{name}/").json()
    assert first["hardware-info"]["class"] == "system"
    assert set(first["network-info"]) == {"hostname", "local_ipv4", "mac"}
    assert "[tls]" in first["aktualizr-toml"]
    remembered = (device.directory / REPORTED_FILE).stat()
    assert device.run("check-in").returncode == 0
    assert (device.directory / REPORTED_FILE).stat().st_ino == remembered.st_ino
    settings = device.directory / "sota.toml"
    settings.write_text(settings.read_text() + '\n[p11]\npass = "1234"\n')
    assert device.run("check-in").returncode == 0
    after = server.call("GET", f"/ota/devices/{name}/").json()["aktualizr-toml"]
    assert ("[p11]" in after, "1234" in after) == (True, False)
    assert "Host name:" in owner.run("devices", "show", name).out


def test_owner_reads_updates_apps_and_tests_of_a_device(
    device: DeviceProgram, owner: Owner, server: RunningServer
) -> None:
    name = name_of(device)
    report_everything(device)
    assert owner.run("devices", "updates", name, "--json").json["updates"][0]["correlation-id"] == UPDATE
    assert f"{UPDATE}  failed" in owner.run("devices", "updates", name).out
    events = owner.run("devices", "updates", name, UPDATE).out
    assert "it broke\\n\\x1b[2J" in events
    assert "\x1b" not in events
    assert "shellhttpd running\\n" in owner.run("devices", "apps-states", name).out
    assert COMMAND_ID in owner.run("devices", "tests", "list", name).out
    shown = owner.run("devices", "tests", "show", name, COMMAND_ID)
    assert "PASSED" in shown.out
    assert "console.log" in shown.out
    fetched = owner.run("devices", "tests", "artifact", name, COMMAND_ID, "console.log", "--json").json
    assert fetched == {"name": "console.log", "bytes": 5, "content": "PGI+Gzw="}


def test_artifact_is_shown_harmless_on_a_terminal_and_written_as_it_is(
    device: DeviceProgram, owner: Owner, tmp_path: Path
) -> None:
    name = name_of(device)
    report_everything(device)
    artifact = ("devices", "tests", "artifact", name, COMMAND_ID, "console.log")
    assert "<b>\\x1b<" in owner.run_on_terminal(*artifact).out
    assert owner.run(*artifact).out == "<b>\x1b<"
    assert owner.run(*artifact, "-o", str(tmp_path / "saved")).code == 0
    assert (tmp_path / "saved").read_bytes() == b"<b>\x1b<"
    assert owner.run(*artifact[:-1], "other.log").code == 6


def test_artifact_goes_out_as_a_file_that_no_browser_runs(device: DeviceProgram, server: RunningServer) -> None:
    report_everything(device)
    answer = server.call("GET", f"/ota/devices/{name_of(device)}{TEST}/console.log?factory={server.factory}")
    assert (answer.status_code, answer.content) == (200, b"<b>\x1b<")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == 'attachment; filename="console.log"'
    assert "sandbox" in answer.headers["content-security-policy"]


def name_of(device: DeviceProgram) -> str:
    done = device.run("whoami", "--json")
    return str(json.loads(done.stdout)["name"])


def report_everything(device: DeviceProgram) -> None:
    """Send what an update agent and a remote action would."""
    failed = an_event(2, "Generate new certificate", correlationId=UPDATE, success=False, details="it broke\n\x1b[2J")
    done = an_event(3, "CertRotationCompleted", correlationId=UPDATE, success=True)
    apps = {"deviceTime": "now", "apps": {"shellhttpd": {"state": "running\n"}}}
    identity = load_identity(device.directory)
    with open_gateway(identity) as gateway:
        for method, path, body, status in (
            ("POST", "/events", events_body(failed, done), 200),
            ("POST", "/apps-states", json.dumps(apps).encode(), 200),
            ("POST", "/tests", json.dumps({"name": "reboot", "test-id": COMMAND_ID}).encode(), 201),
            ("PUT", TEST, b'{"status":"PASSED","artifacts":["console.log"]}', 200),
        ):
            answer = gateway.request(method, path, body=body)
            assert answer.status == status, answer.text
        url = json.loads(answer.body)["console.log"]["url"]
        assert url == f"{identity.server}{TEST}/console.log"
        assert gateway.request("PUT", f"{TEST}/console.log", body=b"<b>\x1b<").status == 200
