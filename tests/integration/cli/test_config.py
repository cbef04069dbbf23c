"""`ownroot config` and `ownroot devices config`: what is sent (api.md §6), what is shown, what is refused before."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.pki.ecies import decrypt
from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair
from tests.support.owner import Owner
from tests.support.relay import Relay
from tests.support.world import RunningServer


@pytest.fixture
def device(server: RunningServer) -> Pair:
    """A registered device called dev-1."""
    return ApiOwner(server).register_pair("dev-1")


def sent(relay: Relay) -> Any:
    """The last body that was sent."""
    return json.loads([request.body for request in relay.requests if request.body][-1])


def run(owner: Owner, *words: str | Path) -> str:
    done = owner.run(*words)
    assert done.code == 0, done.err
    return done.out


def test_set_sends_what_clients_of_the_field_send(owner: Owner, relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from a file\n")
    run(owner, "config", "set", "a=b", f"f=={tmp_path / 'f'}", "--reason", "why")
    assert relay.lines[-1].startswith("PATCH /ota/factories/")
    assert relay.lines[-1].endswith("/config/")
    assert sent(relay) == {
        "reason": "why",
        "files": [
            {"name": "a", "value": "b", "unencrypted": False},
            {"name": "f", "value": "from a file\n", "unencrypted": False},
        ],
    }


def test_create_replaces_raw_is_sent_as_it_is_and_group_has_a_place_of_its_own(owner: Owner, relay: Relay) -> None:
    run(owner, "config", "device-group", "create", "beta", "first")
    raw = {"reason": "r", "files": [{"name": "a", "value": "1", "unencrypted": True, "on-changed": ["/h", "x"]}]}
    done = owner.run("config", "set", "-g", "beta", "--create", "--raw", "-", "--json", stdin=json.dumps(raw))
    assert done.json["files"] == raw["files"]
    assert "POST" in relay.lines[-1]
    assert "/device-groups/beta/config/" in relay.lines[-1]
    assert [entry["reason"] for entry in owner.run("config", "log", "-g", "beta", "--json").json["config"]] == ["r"]
    assert "on change: /h x" in run(owner, "config", "log", "-g", "beta")
    assert owner.run("config", "log", "--json").json == {"config": []}


def test_devices_values_are_encrypted_before_they_leave(owner: Owner, relay: Relay, device: Pair) -> None:
    run(owner, "devices", "config", "set", "dev-1", "secret=hidden", "-u")
    value = sent(relay)["files"][0]["value"]
    key = device.ec_key
    assert decrypt(value, key.curve, lambda peer: key.exchange(ec.ECDH(), peer)) == b"hidden"
    assert all(b"hidden" not in (request.body or b"") for request in relay.requests)
    run(owner, "devices", "config", "set", "dev-1", "plain=shown", "--unencrypted")
    shown = run(owner, "devices", "config", "log", "dev-1")
    assert "secret (encrypted)" in shown
    assert "| shown" in shown


def test_deleted_file_is_gone_and_a_second_time_unknown(owner: Owner) -> None:
    run(owner, "config", "set", "d/e=1")
    run(owner, "config", "delete", "d/e")
    assert "config-file-unknown" in owner.run("config", "delete", "d/e", "--json").err


@pytest.mark.parametrize("name", ["..", "../../dev-2", "../config/a", "a/../..", ".", "/a", "a//b", ""])
def test_file_name_that_would_be_another_address_is_never_sent(
    owner: Owner, relay: Relay, device: Pair, server: RunningServer, name: str
) -> None:
    ApiOwner(server).register_pair("dev-2")
    relay.requests.clear()
    for words in (["devices", "config", "delete", "dev-1", name], ["config", "delete", name]):
        assert owner.run(*words, "--json").error["code"] == "config-file-name"
    assert relay.requests == []
    assert owner.run("devices", "list", "--json").json["total"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("config", "set"),
        ("config", "set", "a"),
        ("config", "set", "../a=b"),
        ("config", "set", "a=b", "a=c"),
        ("config", "set", "a==/does/not/exist"),
        ("config", "set", "z-50-fioctl.toml=[pacman]\ntags = 5"),
        ("config", "set", "-g", "", "a=b"),
        ("config", "updates", "--tag", "bad tag"),
        ("config", "updates", "--tag", ""),
        ("config", "updates", "--apps", "a,b;c"),
        ("config", "updates", "--apps", "a,,b"),
        ("config", "rotate-certs", "-r", "why"),
        ("config", "device-group", "update", "beta"),
        ("devices", "config", "group", "dev-1"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    owner: Owner, relay: Relay, words: tuple[str, ...]
) -> None:
    assert owner.run(*words).code != 0
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_updates_are_merged_key_by_key_and_shown(owner: Owner, relay: Relay) -> None:
    run(owner, "config", "updates", "--tag", "next")
    run(owner, "config", "updates", "--apps", "a,b", "--force")
    assert relay.lines[-1].endswith("/config/?force=1")
    (file,) = sent(relay)["files"]
    assert file["value"] == '[pacman]\ntags = "next"\ndocker_apps = "a,b"\ncompose_apps = "a,b"\n'
    assert (file["name"], file["unencrypted"]) == ("z-50-fioctl.toml", True)
    assert file["on-changed"] == ["/usr/share/fioconfig/handlers/aktualizr-toml-update"]
    assert owner.run("config", "updates", "--json").json["tags"] == "next"


def test_comma_alone_means_none_and_what_is_no_name_says_which_option(owner: Owner, relay: Relay) -> None:
    assert run(owner, "config", "updates", "--apps", ",") == (
        "Updates of the factory: docker_apps = (none), compose_apps = (none).\n"
    )
    (file,) = sent(relay)["files"]
    assert file["value"] == '[pacman]\ndocker_apps = ""\ncompose_apps = ""\n'
    refused = owner.run("config", "updates", "--tag", "next,bad tag", "--json").error
    assert refused["code"] == "name-invalid"
    assert refused["message"].startswith("--tag: 'bad tag' is no name.")


def test_rotation_file_is_sent_alone_and_a_dry_run_sends_nothing(owner: Owner, relay: Relay, device: Pair) -> None:
    words = ("devices", "config", "rotate-certs", "dev-1", "-r", "yearly", "--server-name", "est.example.test")
    run(owner, *words, "--dry-run")
    assert not [line for line in relay.lines if line.startswith("PATCH")]
    run(owner, *words)
    document = sent(relay)
    (file,) = document["files"]
    assert (document["reason"], file["name"]) == ("yearly", "fio-rotate-certs")
    assert file["on-changed"] == ["/usr/share/fioconfig/handlers/renew-client-cert"]
    lines = file["value"].splitlines()
    assert lines[:3] == [
        "ESTSERVER=https://est.example.test:8443/.well-known/est",
        "PKEYIDS=01,07",
        "CERTIDS=03,09",
    ]
    assert lines[3].startswith("ROTATIONID=certs-")


def test_rotation_without_an_est_certificate_says_what_to_do(owner: Owner, device: Pair) -> None:
    done = owner.run("devices", "config", "rotate-certs", "dev-1", "-r", "yearly", "--json")
    assert "est-not-authorized" in done.err


@pytest.mark.usefixtures("device")
def test_device_moves_into_a_group_and_out_of_it(owner: Owner) -> None:
    run(owner, "config", "device-group", "create", "beta")
    run(owner, "devices", "config", "group", "dev-1", "beta", "-u")
    assert "device-group-in-use" in owner.run("config", "device-group", "delete", "beta", "--json").err
    run(owner, "devices", "config", "group", "dev-1", "--unset", "-u")
    run(owner, "config", "device-group", "update", "beta", "-n", "early", "-d", "now early")
    assert run(owner, "config", "device-group", "list").split() == ["early", "now", "early"]
    run(owner, "config", "device-group", "delete", "early")
    assert owner.run("config", "device-group", "list", "--json").json == {"groups": []}
