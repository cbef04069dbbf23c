"""Groups, names and owners of devices over a real socket (api.md §5, §6.3)."""

from typing import Any

import pytest

from tests.support.device_csrs import device_csr
from tests.support.registration_server import RegistrationServer

GROUPS = "/ota/factories/acme/device-groups/"


def send(server: RegistrationServer, method: str, path: str, **document: Any) -> tuple[int, Any]:
    answer = server.world.call(method, path, document=document or None)
    return answer.status_code, answer.json() if answer.content else None


def new_device(server: RegistrationServer, uuid: str, **more: str) -> None:
    answer = server.post({"csr": device_csr(uuid), "hardware-id": "h", **more})
    assert answer.status == 201, answer.body


def test_group_is_made_shown_renamed_and_deleted(server: RegistrationServer) -> None:
    status, made = send(server, "POST", GROUPS, name="life", description="first")
    assert (status, made["name"], made["description"]) == (201, "life", "first")
    assert made["change-meta"]["created-by"] == server.world.owner_id
    assert made in send(server, "GET", GROUPS)[1]["groups"]
    status, renamed = send(server, "PATCH", GROUPS + "life/", name="after", description="")
    assert (status, renamed["id"], renamed["name"], renamed["description"]) == (200, made["id"], "after", "")
    assert send(server, "DELETE", GROUPS + "after/") == (204, None)
    assert send(server, "DELETE", GROUPS + "after/")[0] == 404


def test_group_is_put_on_a_device_at_its_registration_and_survives_a_rename(server: RegistrationServer) -> None:
    send(server, "POST", GROUPS, name="born-in")
    new_device(server, "grouped-1", group="born-in")
    send(server, "PATCH", GROUPS + "born-in/", name="renamed")
    shown = send(server, "GET", "/ota/devices/grouped-1/?factory=acme")[1]
    assert shown["group"]["name"] == "renamed"
    listed = send(server, "GET", "/ota/devices/?factory=acme&group=renamed")[1]
    assert [(device["name"], device["device-group"]) for device in listed["devices"]] == [("grouped-1", "renamed")]
    assert send(server, "DELETE", GROUPS + "renamed/")[0] == 409
    assert send(server, "PATCH", "/ota/devices/grouped-1/?factory=acme", group="")[0] == 200
    assert send(server, "DELETE", GROUPS + "renamed/")[0] == 204


@pytest.mark.parametrize(
    ("method", "path", "document", "expected"),
    [
        ("POST", GROUPS, {"name": "a/b"}, (400, "name-invalid")),
        ("POST", GROUPS, {"description": "nameless"}, (400, "missing-field")),
        ("POST", GROUPS, {"name": "x", "description": "two\nlines"}, (400, "description-invalid")),
        ("POST", GROUPS, {"name": "x", "description": "x" * 513}, (400, "description-invalid")),
        ("POST", GROUPS, {"name": 7}, (400, "bad-field")),
        ("PATCH", GROUPS + "none/", {"name": "x"}, (404, "device-group-unknown")),
        ("PATCH", GROUPS + "/", {"name": "x"}, (404, "no-such-path")),
        ("PATCH", "/ota/devices/none/?factory=acme", {"name": "x"}, (404, "device-unknown")),
    ],
)
def test_bad_request_is_named(
    server: RegistrationServer, method: str, path: str, document: dict[str, Any], expected: tuple[int, str]
) -> None:
    status, answer = send(server, method, path, **document)
    assert (status, answer["code"]) == expected


def test_taken_group_name_is_409(server: RegistrationServer) -> None:
    for name in ("taken", "other"):
        assert send(server, "POST", GROUPS, name=name)[0] == 201
    assert send(server, "POST", GROUPS, name="taken")[0] == 409
    assert send(server, "PATCH", GROUPS + "other/", name="taken")[0] == 409


def test_device_is_renamed_and_given_away(server: RegistrationServer) -> None:
    new_device(server, "given-1")
    new_device(server, "given-2")
    member = server.world.run("token", "create", "--factory", "acme", "--user", "bob", "--scope", "devices:read")
    status, changed = send(
        server, "PATCH", "/ota/devices/given-1/?factory=acme", name="fresh", owner=member["user"]["polis-id"]
    )
    assert (status, changed["name"], changed["owner"]) == (200, "fresh", member["user"]["polis-id"])
    assert send(server, "GET", "/ota/devices/given-1/?factory=acme")[0] == 404
    path = "/ota/devices/fresh/?factory=acme"
    for document, expected in (
        ({"name": "given-2"}, (409, "device-name-taken")),
        ({"name": "a b"}, (400, "name-invalid")),
        ({"owner": "0" * 24}, (400, "owner-unknown")),
        ({"group": "none"}, (400, "group-unknown")),
    ):
        status, answer = send(server, "PATCH", path, **document)
        assert (status, answer["code"]) == expected


def test_changing_needs_a_scope_of_its_own(server: RegistrationServer) -> None:
    new_device(server, "guarded-1")
    reader = server.world.create_token("devices:read", user="guard")
    for method, path, document in (
        ("PATCH", "/ota/devices/guarded-1/?factory=acme", {"name": "x"}),
        ("POST", GROUPS, {"name": "x"}),
        ("DELETE", GROUPS + "x/", None),
    ):
        assert server.world.call(method, path, document=document, token=reader).status_code == 403
