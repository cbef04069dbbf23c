"""Listing, showing and deleting devices, and the deny list, over a real socket (api.md §5)."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ownroot.services.scopes import Scope
from tests.support.device_csrs import device_csr, new_key
from tests.support.registration_server import RegistrationServer, registration_server

UUIDS = [f"{n}0000000-2222-4333-8444-555555555555" for n in range(1, 6)]
KEY = new_key()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrationServer]:
    """Five devices, `dev-1` to `dev-5`; the last one is a production device."""
    with registration_server(tmp_path_factory.mktemp("fleet")) as server:
        for number, uuid in enumerate(UUIDS, 1):
            csr = device_csr(uuid, key=KEY if number == 1 else None, production=number == 5)
            assert server.post({"csr": csr, "hardware-id": "h", "name": f"dev-{number}"}).status == 201
        yield server


def names(server: RegistrationServer, query: str) -> list[str]:
    answer = server.request("GET", f"/ota/devices/?{query}")
    assert answer.status == 200, answer.body
    return [device["name"] for device in answer.document["devices"]]


def test_list_shows_every_device_with_what_follow_up_requests_take_from_it(fleet: RegistrationServer) -> None:
    document = fleet.request("GET", "/ota/devices/?factory=acme&limit=500").document
    assert (document["total"], document["next"]) == (5, None)
    first = document["devices"][0]
    assert (first["uuid"], first["name"], first["factory"]) == (UUIDS[0], "dev-1", "acme")
    assert (first["is-prod"], first["last-seen"], first["device-group"]) == (False, None, None)
    assert load_pem_public_key(first["public-key"].encode()) == KEY.public_key()


def test_pages_are_linked_by_absolute_addresses(fleet: RegistrationServer) -> None:
    seen, path = [], "/ota/devices/?factory=acme&limit=2&sortby=name"
    while path:
        document = fleet.request("GET", path).document
        seen += [device["name"] for device in document["devices"]]
        url = urlsplit(document["next"] or "")
        assert (url.scheme, url.netloc) in {("http", f"127.0.0.1:{fleet.port}"), ("", "")}
        path = f"{url.path}?{url.query}" if document["next"] else ""
        assert document["total"] == 5
        if url.query:
            assert parse_qs(url.query)["sortby"] == ["name"]
    assert seen == [f"dev-{number}" for number in range(1, 6)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=dev-*", 5),
        ("name=*-3", 1),
        ("name=dev-%3F", 5),
        ("name=nothing", 0),
        ("name=%25", 0),
        (f"uuid={UUIDS[1]}", 1),
        ("prod=1", 1),
        ("prod=0", 4),
        ("mine=1", 5),
        ("group=none-such", 0),
        ("match_tag=main", 0),
        ("target_name=t", 0),
        ("page=2", 0),
        ("factory=", 5),
        ("unknown=1", 5),
    ],
)
def test_list_is_narrowed_by_its_parameters(fleet: RegistrationServer, query: str, expected: int) -> None:
    assert len(names(fleet, query)) == expected


@pytest.mark.parametrize(("order", "first"), [("name", "dev-1"), ("-name", "dev-5"), ("-last_seen,-name", "dev-5")])
def test_list_is_sorted_as_asked(fleet: RegistrationServer, order: str, first: str) -> None:
    assert names(fleet, f"sortby={order}")[0] == first


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "page=0", "page=-1", "prod=2", "sortby=color", "sortby=owner,name"]
)
def test_odd_parameter_is_400_and_named(fleet: RegistrationServer, query: str) -> None:
    answer = fleet.request("GET", f"/ota/devices/?{query}")
    assert answer.status == 400
    assert list(answer.problem["errors"]) == [query.partition("=")[0]]


def test_another_factory_is_403(fleet: RegistrationServer) -> None:
    for path in ("/ota/devices/?factory=other", "/ota/devices/dev-1/?factory=other"):
        assert fleet.request("GET", path).status == 403
    assert fleet.request("DELETE", "/ota/devices/dev-1/?factory=other").status == 403


def test_device_is_found_by_name_or_by_uuid(fleet: RegistrationServer) -> None:
    by_name = fleet.request("GET", "/ota/devices/dev-5/?factory=acme").document
    by_uuid = fleet.request("GET", f"/ota/devices/{UUIDS[4]}/?factory=acme&by-uuid=1").document
    assert by_name == by_uuid
    assert (by_name["uuid"], by_name["is-prod"], by_name["group"]) == (UUIDS[4], True, None)
    assert fleet.request("GET", f"/ota/devices/{UUIDS[4]}/").status == 404
    assert fleet.request("GET", "/ota/devices/dev-5/?by-uuid=1").status == 404


def test_reading_needs_a_scope_of_its_own(fleet: RegistrationServer) -> None:
    creating = {"OSF-TOKEN": fleet.new_token(Scope.DEVICES_CREATE)}
    reading = {"OSF-TOKEN": fleet.new_token(Scope.DEVICES_READ_UPDATE)}
    assert fleet.request("GET", "/ota/devices/", headers=creating).status == 403
    assert fleet.request("GET", "/ota/devices/", headers=reading).status == 200
    assert fleet.request("DELETE", "/ota/devices/dev-1/", headers=reading).status == 403
    assert fleet.request("GET", "/ota/factories/acme/denied-devices/", headers=creating).status == 403


def test_mine_are_the_callers_own_devices(fleet: RegistrationServer) -> None:
    reader = {"OSF-TOKEN": fleet.new_token(Scope.DEVICES_READ, user="reader")}
    assert fleet.request("GET", "/ota/devices/?mine=1", headers=reader).document["total"] == 0
    assert fleet.request("GET", "/ota/devices/", headers=reader).document["total"] == 5


def test_deleted_device_is_denied_until_the_denial_is_lifted(fleet: RegistrationServer) -> None:
    uuid = "d0000000-2222-4333-8444-555555555555"
    assert fleet.post({"csr": device_csr(uuid), "hardware-id": "h", "name": "gone"}).status == 201
    # As existing clients delete: a JSON content type, and neither a body nor its length.
    headers = {"Content-Type": "application/json"}
    assert fleet.request("DELETE", "/ota/devices/gone/?factory=acme", headers=headers).status == 204
    assert fleet.request("DELETE", "/ota/devices/gone/?factory=acme", headers=headers).status == 404
    denied = fleet.request("GET", "/ota/factories/acme/denied-devices/?limit=500&page=1").document
    (entry,) = [device for device in denied["devices"] if device["uuid"] == uuid]
    assert (entry["name"], entry["factory"]) == ("gone", "acme")
    assert entry["owner"]
    path = f"/ota/factories/acme/denied-devices/{uuid}/"
    assert fleet.request("DELETE", path, headers=headers).status == 204
    assert fleet.request("DELETE", path, headers=headers).problem["code"] == "denial-unknown"


@pytest.mark.parametrize("name", ["%00", "%2e%2e", "a%20b", "%ff", "x" * 5000])
def test_odd_device_names_are_4xx(fleet: RegistrationServer, name: str) -> None:
    answer = fleet.request("GET", f"/ota/devices/{name}/")
    assert 400 <= answer.status < 500
    assert answer.problem


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_device_is_changed_by_patch_alone(fleet: RegistrationServer, method: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = fleet.request(method, "/ota/devices/dev-1/?factory=acme", body=b'{"name":"new"}', headers=headers)
    assert (answer.status, answer.problem["code"]) == (405, "method-not-allowed")
    assert fleet.request("GET", "/ota/devices/dev-1/").status == 200
