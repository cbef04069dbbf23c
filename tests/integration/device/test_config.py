"""A device's configuration end to end: the owner's API, a real gateway, the device's program and its handlers."""

import json
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ownroot.device.check_in import open_gateway
from ownroot.device.identity import load_identity
from ownroot.pki.ecies import encrypt
from tests.support.device_program import DeviceProgram
from tests.support.world import RunningServer, running_server

HANDLER = """#!/bin/sh
echo "$1 $(basename "$CONFIG_FILE") $(cat "$CONFIG_FILE" 2>/dev/null) $SOTA_DIR $STORAGE_DIR" >> "$SOTA_DIR/ran"
test -x "$FIOCONFIG_BIN" || exit 9
exit $2
"""


@dataclass(frozen=True, slots=True)
class Configured:
    """A registered device with a handlers directory, and its owner's view of it."""

    server: RunningServer
    program: DeviceProgram
    place: Path
    uuid: str

    @property
    def handler(self) -> str:
        return str(self.place / "handlers" / "note")

    def push(self, *files: dict[str, Any], method: str = "PATCH") -> None:
        answer = self.server.call(method, self.path(), document={"reason": "", "files": list(files)})
        assert answer.is_success, answer.text

    def path(self, rest: str = "") -> str:
        return f"/ota/devices/{self.uuid}/config/{rest}?by-uuid=1"

    def encrypted(self, name: str, text: str) -> dict[str, Any]:
        key: Any = load_pem_private_key((self.program.directory / "pkey.pem").read_bytes(), None)
        return {"name": name, "value": encrypt(text.encode(), key.public_key()), "unencrypted": False}

    def arguments(self) -> list[str]:
        made = {name: str(self.place / name) for name in ("secrets", "handlers", "actions")}
        return ["check-in", *(word for name, path in made.items() for word in (f"--{name}-dir", path))]

    def check_in(self) -> Any:
        """Run it; returns what became of the configuration."""
        done = self.program.run(*self.arguments(), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["config"]

    def check_in_until(self, name: str) -> Any:
        """Visit until the gateway has heard of a file."""
        for _ in range(50):
            config = self.check_in()
            if name in config["changed"] + config["removed"]:
                return config
        raise AssertionError(f"{name} did not arrive")

    def await_delivery(self, name: str) -> None:
        """Wait until the gateway delivers a file, without carrying anything out."""
        with open_gateway(load_identity(self.program.directory)) as gateway:
            for _ in range(200):
                if name in json.loads(gateway.get("/config").body or "{}"):
                    return
        raise AssertionError(f"{name} is not delivered")

    def kill_at(self, function: str, when: str, which: int) -> None:
        self.program.run_cut(function, when, which, *self.arguments())

    @property
    def files(self) -> dict[str, str]:
        secrets = self.place / "secrets"
        found = (path for path in secrets.rglob("*") if path.is_file())
        return {str(path.relative_to(secrets)): path.read_text() for path in found}

    @property
    def ran(self) -> list[str]:
        path = self.program.directory / "ran"
        return path.read_text().splitlines() if path.exists() else []


def configured(server: RunningServer, line_token: str, place: Path) -> Configured:
    program = DeviceProgram(place / "sota", f"{server.api_url}/ota/devices/", server.factory, token=line_token)
    (place / "handlers").mkdir()
    for folder in ("handlers", "elsewhere"):
        (place / folder).mkdir(exist_ok=True)
        (place / folder / "note").write_text(HANDLER)
        (place / folder / "note").chmod(0o755)
    return Configured(server, program, place, program.registered()["uuid"])


@pytest.fixture
def device(server: RunningServer, line_token: str, tmp_path: Path) -> Configured:
    return configured(server, line_token, tmp_path)


def test_files_arrive_decrypted_for_their_owner_alone_and_go_again(device: Configured) -> None:
    device.push(
        device.encrypted("dir/secret", "hidden"),
        {"name": "plain", "value": "shown", "unencrypted": True, "on-changed": [device.handler, "put", "0"]},
    )
    config = device.check_in_until("plain")
    assert config == {"new": True, "changed": ["dir/secret", "plain"], "removed": []}
    assert device.files == {"dir/secret": "hidden", "plain": "shown"}
    for path in (device.place / "secrets").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    sota = device.program.directory
    assert device.ran == [f"put plain shown {sota} {sota}"]
    assert device.check_in() == {"new": False, "changed": [], "removed": []}
    device.push({"name": "other", "value": "1", "unencrypted": True}, method="POST")
    config = device.check_in_until("other")
    assert config["removed"] == ["dir/secret", "plain"]
    assert device.files == {"other": "1"}
    assert not (device.place / "secrets" / "dir").exists()
    assert device.ran[1:] == [f"put plain  {sota} {sota}"]


def test_what_is_lost_with_the_disk_is_put_back_without_the_gateways_help(device: Configured) -> None:
    device.push({"name": "a", "value": "1", "unencrypted": True})
    device.check_in_until("a")
    (device.place / "secrets" / "a").unlink()
    assert device.check_in() == {"new": False, "changed": ["a"], "removed": []}
    assert device.files == {"a": "1"}


def test_value_for_another_device_is_refused_whole_and_nothing_is_written(
    device: Configured, line_token: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = configured(device.server, line_token, tmp_path / "other")
    device.push({"name": "a", "value": "1", "unencrypted": True}, other.encrypted("b", "not yours"))
    for _ in range(50):
        done = device.program.run(*device.arguments())
        if done.returncode:
            break
    assert "not encrypted for this device" in done.stderr
    assert device.files == {}


@pytest.mark.parametrize("handler", ["elsewhere/note", "handlers/../elsewhere/note", "handlers/missing", "relative"])
def test_only_programs_in_the_handlers_directory_are_run(device: Configured, handler: str) -> None:
    program = handler if handler == "relative" else str(device.place / handler)
    device.push({"name": "a", "value": "1", "unencrypted": True, "on-changed": [program, "put", "0"]})
    device.check_in_until("a")
    assert (device.files, device.ran) == ({"a": "1"}, [])


def test_handler_that_ends_with_123_aborts_before_the_copy_is_stored(device: Configured) -> None:
    device.push({"name": "a", "value": "1", "unencrypted": True, "on-changed": [device.handler, "put", "123"]})
    for _ in range(50):
        done = device.program.run(*device.arguments())
        if done.returncode:
            break
    assert "ends this check-in" in done.stderr
    assert not (device.program.directory / "config.encrypted").exists()
    runs = len(device.ran)
    assert device.program.run(*device.arguments()).returncode != 0
    assert len(device.ran) == runs + 1


def test_handler_that_fails_otherwise_stops_nothing(device: Configured) -> None:
    device.push({"name": "a", "value": "1", "unencrypted": True, "on-changed": [device.handler, "put", "7"]})
    assert device.check_in_until("a")["changed"] == ["a"]
    assert (device.program.directory / "config.encrypted").exists()


def test_offered_actions_are_told_once(device: Configured) -> None:
    (device.place / "actions").mkdir()
    for name in ("reboot", "diag"):
        (device.place / "actions" / name).write_text("")
    device.check_in_until("fio-remote-actions")
    assert device.files == {"fio-remote-actions": "diag,reboot"}
    device.check_in()
    history = device.server.call("GET", device.path()).json()["config"]
    assert [entry["created-by"] for entry in history] == [f"device:{device.uuid}"]
    assert history[0]["files"][0]["value"] == "diag,reboot"


STEPS = [
    ("ownroot.device.config_copy:ConfigCopy.begin", "after", 1),
    ("ownroot.device.config_files:SecretsDirectory.remove", "after", 1),
    ("ownroot.keystore.durable:sync_directory", "before", 3),
    ("ownroot.device.config_files:SecretsDirectory.write", "after", 1),
    ("ownroot.device.config_files:SecretsDirectory.write", "after", 2),
    ("ownroot.device.config_handlers:Handlers.run", "after", 1),
    ("ownroot.device.config_copy:ConfigCopy.finish", "before", 1),
    ("ownroot.device.config_copy:os.utime", "after", 1),
    ("ownroot.device.config_copy:ConfigCopy.finish", "after", 1),
]


@pytest.mark.parametrize(("function", "when", "which"), STEPS)
def test_killed_anywhere_the_next_check_in_ends_where_it_should(
    device: Configured, function: str, when: str, which: int
) -> None:
    old = {"name": "old", "value": "0", "unencrypted": True, "on-changed": [device.handler, "old", "0"]}
    device.push(old)
    device.check_in_until("old")
    new = {"name": "new", "value": "1", "unencrypted": True, "on-changed": [device.handler, "new", "0"]}
    device.push(new, device.encrypted("secret", "s"), method="POST")
    device.await_delivery("new")
    device.kill_at(function, when, which)
    for path in (device.program.directory, *(device.place / "secrets").glob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    device.check_in()
    assert device.files == {"new": "1", "secret": "s"}
    assert {line.split()[0] for line in device.ran} == {"old", "new"}
    assert device.check_in() == {"new": False, "changed": [], "removed": []}
    assert not list((device.place / "secrets").glob(".*"))


@pytest.mark.parametrize(
    ("servers", "devices"), [("America/New_York", "Asia/Tokyo"), ("Asia/Tokyo", "America/New_York")]
)
def test_zones_of_server_and_device_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: str, devices: str
) -> None:
    with running_server(tmp_path / "world", workers=1, environment={"TZ": servers}) as server:
        monkeypatch.setenv("TZ", devices)
        device = configured(server, server.create_token("devices:create"), tmp_path)
        device.push({"name": "a", "value": "1", "unencrypted": True})
        device.check_in_until("a")
        created = device.server.call("GET", device.path()).json()["config"][0]["created-at"]
        stamp = int((device.program.directory / "config.encrypted").stat().st_mtime)
        assert abs(datetime.fromisoformat(created).timestamp() - stamp) <= 1
        assert device.check_in()["new"] is False
        device.push({"name": "a", "value": "2", "unencrypted": True})
        device.check_in_until("a")
        assert device.files == {"a": "2"}
