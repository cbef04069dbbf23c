"""Listing and changing devices over the API, row by row of the protocol's table (api.md §5)."""

import itertools
from urllib.parse import urlencode

import pytest

from tests.support.device_csrs import device_csr
from tests.support.world import RunningServer

NAMES = ("b-1", "a-3", "a-1", "a-2", "c_4")


def uuid(number: int) -> str:
    return f"11111111-2222-4333-8444-{number:012}"


def register(server: RunningServer, number: int, name: str, **more: str) -> None:
    csr = device_csr(uuid(number), factory=server.factory)
    document = {"csr": csr, "hardware-id": "amd64-linux", "uuid": uuid(number), "name": name}
    answer = server.call("POST", "/ota/devices/", document=document | more)
    assert answer.status_code == 201, answer.text


def with_devices(server: RunningServer, factory: str) -> RunningServer:
    """Five devices, `a-2` in the group `edge`."""
    made = server.for_factory(factory)
    made.call("POST", f"/ota/factories/{factory}/device-groups/", document={"name": "edge"})
    for number, name in enumerate(NAMES):
        register(made, number, name, **({"group": "edge"} if name == "a-2" else {}))
    return made


@pytest.fixture(scope="module")
def fleet(server: RunningServer) -> RunningServer:
    """Nobody changes these."""
    return with_devices(server, "still")


@pytest.fixture(scope="module")
def moving(server: RunningServer) -> RunningServer:
    """These may be changed, each by one test; `a-1` is given away, `a-3` deleted."""
    return with_devices(server, "moving")


_numbers = itertools.count(100)


def listed(server: RunningServer, **query: object) -> list[str]:
    answer = server.call("GET", f"/ota/devices/?{urlencode(query)}")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["total"] >= len(document["devices"])
    return [device["name"] for device in document["devices"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a-1", "a-2", "a-3", "b-1", "c_4"]),
        ({"factory": ""}, ["a-1", "a-2", "a-3", "b-1", "c_4"]),
        ({"sortby": "-name"}, ["c_4", "b-1", "a-3", "a-2", "a-1"]),
        ({"sortby": "last_seen,-name"}, ["c_4", "b-1", "a-3", "a-2", "a-1"]),
        ({"name": "a-*"}, ["a-1", "a-2", "a-3"]),
        ({"name": "*-1"}, ["a-1", "b-1"]),
        ({"name": "a-1"}, ["a-1"]),
        ({"group": "edge"}, ["a-2"]),
        ({"mine": 1}, ["a-1", "a-2", "a-3", "b-1", "c_4"]),
        ({"prod": 1}, []),
        ({"prod": 0, "group": "edge"}, ["a-2"]),
        ({"uuid": uuid(0)}, ["b-1"]),
        ({"uuid": uuid(0), "group": "edge"}, []),
        ({"match_tag": "main"}, []),
        ({"target_name": "t-1"}, []),
        ({"sortby": "name", "after": "a-2"}, ["a-3", "b-1", "c_4"]),
        ({"sortby": "name", "after": "zz"}, []),
        # Hostile ones select what they say literally: nothing.
        ({"name": "' OR 1=1 --"}, []),
        ({"name": "%"}, []),
        ({"name": "[a]-1"}, []),
        ({"group": "edge' --"}, []),
        ({"match_tag": "%,_"}, []),
        ({"target_name": "\\"}, []),
        ({"uuid": uuid(0)[:-1] + "*"}, []),
        ({"name": "*" * 40 + "z"}, []),
    ],
)
def test_filters_and_orders(fleet: RunningServer, query: dict[str, object], expected: list[str]) -> None:
    assert listed(fleet, **query) == expected


def test_pages_join_and_the_one_beyond_the_last_is_empty(fleet: RunningServer) -> None:
    pages = [fleet.call("GET", f"/ota/devices/?limit=2&page={number}").json() for number in (1, 2, 3, 4, 1_000_000)]
    assert [[device["name"] for device in page["devices"]] for page in pages] == [
        ["a-1", "a-2"],
        ["a-3", "b-1"],
        ["c_4"],
        [],
        [],
    ]
    assert [page["total"] for page in pages] == [5] * 5
    assert [page["next"] is None for page in pages] == [False, False, True, True, True]


def test_next_goes_on_after_a_name_for_whoever_asked_so(fleet: RunningServer) -> None:
    page = fleet.call("GET", "/ota/devices/?sortby=name&limit=2&after=a-1").json()
    assert [device["name"] for device in page["devices"]] == ["a-2", "a-3"]
    assert page["total"] == 4
    path = page["next"].removeprefix(fleet.api_url)
    assert [device["name"] for device in fleet.call("GET", path).json()["devices"]] == ["b-1", "c_4"]
    assert fleet.call("GET", path).json()["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=ten",
        "page=0",
        "page=-1",
        "page=1000001",
        "page=one",
        "prod=2",
        "sortby=owner",
        "sortby=name;drop",
        "sortby=name,",
        "after=a-1",
        "sortby=-name&after=a-1",
        "sortby=last_seen,name&after=a-1",
        "sortby=name&after=a-1&page=2",
        "ca_serial=0x1",
    ],
)
def test_a_query_that_means_nothing_is_refused(fleet: RunningServer, query: str) -> None:
    answer = fleet.call("GET", f"/ota/devices/?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-query")


def test_a_name_of_another_factory_leads_to_ones_own_devices_alone(fleet: RunningServer) -> None:
    other = fleet.for_factory(f"{fleet.factory}-2")
    assert listed(other, sortby="name", after="a-1") == []
    assert listed(other) == []
    assert fleet.call("GET", f"/ota/devices/?factory={other.factory}").json()["code"] == "wrong-factory"


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"name": "renamed.1"}, {"name": "renamed.1", "device-group": "edge"}),
        ({"group": ""}, {"device-group": None}),
        ({"group": "edge"}, {"device-group": "edge"}),
        ({}, {"device-group": "edge"}),
        ({"unknown": 1}, {}),
        ({"name": None, "group": None}, {"device-group": "edge"}),
    ],
)
@pytest.mark.parametrize("by_uuid", [False, True])
def test_a_change_shows_in_the_answer_and_the_listing(
    moving: RunningServer, change: dict[str, object], shown: dict[str, object], by_uuid: bool
) -> None:
    number = next(_numbers)
    register(moving, number, f"dev-{number}", group="edge")
    path = f"{uuid(number)}/?by-uuid=1" if by_uuid else f"dev-{number}/?factory={moving.factory}"
    answer = moving.call("PATCH", f"/ota/devices/{path}", document=change)
    assert answer.status_code == 200, answer.text
    (found,) = moving.call("GET", f"/ota/devices/?uuid={uuid(number)}").json()["devices"]
    assert found == answer.json()
    assert found | {"name": f"dev-{number}"} | shown == found
    moving.call("DELETE", f"/ota/devices/{uuid(number)}/?by-uuid=1")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": "a-1"}, 409, "device-name-taken"),
        ({"name": ""}, 400, "name-invalid"),
        ({"name": "a b"}, 400, "name-invalid"),
        ({"name": "a/b"}, 400, "name-invalid"),
        ({"name": 7}, 400, "bad-field"),
        ({"group": "none"}, 400, "group-unknown"),
        ({"owner": "f" * 24}, 400, "owner-unknown"),
        ({"owner": ""}, 400, "owner-unknown"),
        ({"name": "free", "group": "none"}, 400, "group-unknown"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_nothing_changes(
    fleet: RunningServer, change: dict[str, object], status: int, code: str
) -> None:
    before = fleet.call("GET", "/ota/devices/").json()
    answer = fleet.call("PATCH", f"/ota/devices/a-2/?factory={fleet.factory}", document=change)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert fleet.call("GET", "/ota/devices/").json() == before


def test_a_new_owner_lists_the_device_as_theirs(moving: RunningServer) -> None:
    token = moving.create_token("devices:read", user="grace")
    (grace,) = [
        user["polis-id"]
        for user in moving.call("GET", f"/ota/factories/{moving.factory}/users/").json()
        if user["name"] == "grace"
    ]
    assert moving.call("GET", "/ota/devices/?mine=1", token=token).json()["total"] == 0
    moving.call("PATCH", f"/ota/devices/a-1/?factory={moving.factory}", document={"owner": grace})
    mine = moving.call("GET", "/ota/devices/?mine=1", token=token).json()
    assert [(device["name"], device["owner"]) for device in mine["devices"]] == [("a-1", grace)]


def test_a_deletion_has_no_body_and_its_denial_is_listed_until_it_is_lifted(moving: RunningServer) -> None:
    as_clients_do = {"Content-Type": "application/json"}
    deleted = moving.call("DELETE", f"/ota/devices/a-3/?factory={moving.factory}", headers=as_clients_do)
    assert deleted.status_code == 204
    path = f"/ota/factories/{moving.factory}/denied-devices/"
    page = moving.call("GET", f"{path}?limit=500&page=1").json()
    (denied,) = (device for device in page["devices"] if device["name"] == "a-3")
    assert (denied["uuid"], denied["name"], denied["owner"], denied["factory"]) == (
        uuid(1),
        "a-3",
        moving.owner_id,
        moving.factory,
    )
    assert page["next"] is None
    assert moving.call("DELETE", f"{path}{uuid(1)}/", headers=as_clients_do).status_code == 204
    assert moving.call("DELETE", f"{path}{uuid(1)}/", headers=as_clients_do).status_code == 404
    assert listed(moving, sortby="name") == ["a-1", "a-2", "b-1", "c_4"]
