"""Configuration over HTTP, in the shapes of api.md §6: three scopes, histories, who may, and what is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ownroot.pki.ecies import encrypt
from tests.support.api_owner import ApiOwner, code_of
from tests.support.certificates import Pair
from tests.support.world import RunningServer


@pytest.fixture
def server(fresh: RunningServer) -> RunningServer:
    return fresh


def factory_path(server: RunningServer, rest: str = "") -> str:
    return f"/ota/factories/{server.factory}/config/{rest}"


def group_path(server: RunningServer, group: str, rest: str = "") -> str:
    return f"/ota/factories/{server.factory}/device-groups/{group}/config/{rest}"


def a_form(name: str = "a", value: str = "b", **members: Any) -> dict[str, Any]:
    return {"reason": "why", "files": [{"name": name, "value": value, "unencrypted": False, **members}]}


def names(server: RunningServer, path: str) -> list[list[str]]:
    """File names of a history, newest first."""
    document = server.call("GET", path).json()
    return [[file["name"] for file in entry["files"]] for entry in document["config"]]


def test_merge_keeps_what_is_not_named(server: RunningServer) -> None:
    path = factory_path(server)
    first = a_form("a", "1", unencrypted=True, **{"on-changed": ["/usr/share/fioconfig/handlers/h", "x"]})
    assert server.call("PATCH", path, document=first).status_code == 200
    second = a_form("b", "2") | {"change-meta": {}, "made-up": 1}
    assert server.call("PATCH", path, document=second).status_code == 200
    document = server.call("GET", path).json()
    newest, oldest = document["config"]
    assert (document["total"], document["next"]) == (2, None)
    assert newest["files"] == [
        {"name": "a", "value": "1", "unencrypted": True, "on-changed": ["/usr/share/fioconfig/handlers/h", "x"]},
        {"name": "b", "value": "2", "unencrypted": False},
    ]
    assert (newest["created-by"], newest["reason"]) == (server.owner_id, "why")
    assert newest["created-at"].endswith("+00:00")
    assert [file["name"] for file in oldest["files"]] == ["a"]


def test_post_replaces_everything_and_null_is_no_file(server: RunningServer) -> None:
    path = factory_path(server)
    server.call("PATCH", path, document=a_form("a"))
    assert server.call("POST", path, document=a_form("b")).status_code == 201
    assert server.call("PATCH", path + "?force=1", document={"reason": "", "files": None}).status_code == 200
    assert names(server, path) == [["b"], ["a"]]
    assert server.call("POST", path, document={"reason": "", "files": None}).status_code == 201
    assert names(server, path)[0] == []


def test_delete_takes_one_file_out_even_below_a_directory(server: RunningServer) -> None:
    path = factory_path(server)
    server.call("PATCH", path, document={"reason": "", "files": [a_form(n)["files"][0] for n in ("a", "d/e")]})
    assert server.call("DELETE", path + "d/e/").status_code == 204
    assert names(server, path)[0] == ["a"]
    assert code_of(server.call("DELETE", path + "d/e/")) == (404, "config-file-unknown")


def device_path(server: RunningServer, name: str, rest: str = "") -> str:
    return f"/ota/devices/{name}/config/{rest}?factory={server.factory}"


@pytest.fixture
def device(server: RunningServer) -> Pair:
    """A registered device called dev-1."""
    return ApiOwner(server).register_pair("dev-1")


def test_devices_values_are_encrypted_for_it_or_say_that_they_are_plain(server: RunningServer, device: Pair) -> None:
    path = device_path(server, "dev-1") + "&by-uuid=1"
    assert code_of(server.call("PATCH", path, document=a_form("a", "plain"))) == (400, "config-value-plain")
    assert names(server, path) == []
    sealed = a_form("a", encrypt(b"secret", device.ec_key.public_key()))
    assert server.call("PATCH", path, document=sealed).status_code == 200
    assert server.call("PATCH", path, document=a_form("b", "plain", unencrypted=True)).status_code == 200
    assert names(server, path)[0] == ["a", "b"]
    shown = server.call("GET", f"/ota/devices/dev-1/?factory={server.factory}").json()["active-config"]
    assert [file["name"] for file in shown["files"]] == ["a", "b"]
    assert shown["files"][0]["value"] == sealed["files"][0]["value"]
    assert server.call("DELETE", device_path(server, "dev-1", "a/")).status_code == 204
    assert names(server, path)[0] == ["b"]


def test_deleted_devices_successor_has_none_of_its_configuration(server: RunningServer, device: Pair) -> None:
    server.call("PATCH", device_path(server, "dev-1"), document=a_form("b", "plain", unencrypted=True))
    assert server.call("DELETE", f"/ota/devices/dev-1/?factory={server.factory}").status_code == 204
    assert code_of(server.call("GET", device_path(server, "dev-1"))) == (404, "device-unknown")
    ApiOwner(server).register_pair("dev-1")
    assert names(server, device_path(server, "dev-1")) == []


def test_history_keeps_ten_and_pages_by_absolute_address(server: RunningServer) -> None:
    path = factory_path(server)
    for number in range(12):
        server.call("POST", path, document=a_form(f"f{number}"))
    assert names(server, path) == [[f"f{number}"] for number in range(11, 1, -1)]
    page = server.call("GET", path + "?limit=4").json()
    assert page["next"].startswith(server.api_url)
    rest = server.call("GET", page["next"].removeprefix(server.api_url)).json()
    assert [entry["files"][0]["name"] for entry in rest["config"]] == ["f7", "f6", "f5", "f4"]


def test_group_has_a_configuration_of_its_own_and_an_empty_name_is_no_group(server: RunningServer) -> None:
    server.call("POST", f"/ota/factories/{server.factory}/device-groups/", document={"name": "beta"})
    assert server.call("PATCH", group_path(server, "beta"), document=a_form("g")).status_code == 200
    assert (names(server, group_path(server, "beta")), names(server, factory_path(server))) == ([["g"]], [])
    assert server.call("PATCH", group_path(server, ""), document=a_form("g")).status_code == 404
    assert code_of(server.call("PATCH", group_path(server, "other"), document=a_form("g"))) == (
        404,
        "device-group-unknown",
    )
    assert names(server, factory_path(server)) == []


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ({"name": "../a"}, "config-file-name"),
        ({"name": "/a"}, "config-file-name"),
        ({"name": ""}, "config-file-name"),
        ({"name": "a\\b"}, "config-file-name"),
        ({"name": "a\nb"}, "config-file-name"),
        ({"name": "a/../b"}, "config-file-name"),
        ({"name": "a" * 256}, "config-file-name"),
        ({"name": "z-50-fioctl.toml", "value": "[pacman]\ntags = 5\n"}, "toml-not-a-string"),
        ({"name": "z-50-fioctl.toml", "value": "[pacman\n"}, "toml-malformed"),
        ({"name": "big", "value": "x" * 1_000_001}, "config-too-large"),
        ({"name": "a", "value": 5}, "bad-field"),
        ({"value": "a"}, "bad-field"),
        ({"name": "a", "value": "\ud800"}, "bad-json"),
        ({"name": "a", "on-changed": ["a\0"]}, "config-text"),
    ],
)
def test_bad_files_are_refused_and_nothing_is_stored(server: RunningServer, file: dict[str, Any], code: str) -> None:
    good = {"name": "good", "value": "1"}
    answer = server.call("PATCH", factory_path(server), document={"reason": "", "files": [good, file]})
    assert code_of(answer) == (400, code)
    assert names(server, factory_path(server)) == []


def test_largest_configuration_that_fits_is_taken(server: RunningServer) -> None:
    answer = server.call("PATCH", factory_path(server), document=a_form("big", "x" * 999_990))
    assert answer.status_code == 200


def test_reader_may_look_and_not_change(
    server: RunningServer, audit_kinds: Callable[[RunningServer], list[str]]
) -> None:
    token = server.create_token("devices:read")
    assert server.call("GET", factory_path(server), token=token).status_code == 200
    assert code_of(server.call("PATCH", factory_path(server), token=token, document=a_form())) == (403, "scope-missing")
    assert "config:changed" not in audit_kinds(server)
    token = server.create_token("devices:read-update")
    assert server.call("PATCH", factory_path(server), token=token, document=a_form()).status_code == 200
    assert "config:changed" in audit_kinds(server)


def test_two_owners_at_once_lose_nothing(server: RunningServer) -> None:
    path, count = factory_path(server), 16
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda n: server.call("PATCH", path, document=a_form(f"f{n}")).status_code, range(count))
        assert set(answers) == {200}
    assert sorted(names(server, path)[0]) == sorted(f"f{number}" for number in range(count))


def test_escaped_slash_is_part_of_a_name_and_leads_to_nothing_else(server: RunningServer) -> None:
    """`DELETE devices/dev%2Fconfig%2Fa/` names a device, not a file of the device `dev`."""
    device = ApiOwner(server).register_pair("dev")
    of_device = f"/ota/devices/dev/config/?factory={server.factory}"
    value = encrypt(b"1", device.ec_key.public_key())
    assert server.call("PATCH", of_device, document=a_form("a", value)).status_code == 200
    assert server.call("PATCH", factory_path(server), document=a_form("d/e", "1")).status_code == 200

    for escaped in ("%2F", "%2f"):
        for method, rest in (("DELETE", f"config{escaped}a/"), ("GET", "updates/")):
            answer = server.call(method, f"/ota/devices/dev{escaped}{rest}?factory={server.factory}")
            assert code_of(answer) == (404, "no-such-path")
    assert names(server, of_device) == [["a"]]
    assert server.call("DELETE", factory_path(server, "d%2Fe/")).status_code == 204
    assert names(server, factory_path(server))[0] == []


@pytest.mark.parametrize("name", ["%2e%2e", "x%2F..", "..%2F..%2Fdev", "%252e%252e", "%00"])
def test_file_that_no_configuration_can_hold_is_not_there(server: RunningServer, name: str) -> None:
    ApiOwner(server).register_pair("dev")
    assert server.call("DELETE", f"/ota/devices/dev/config/{name}/?factory={server.factory}").status_code == 404
    assert server.call("GET", f"/ota/devices/dev/?factory={server.factory}").status_code == 200
