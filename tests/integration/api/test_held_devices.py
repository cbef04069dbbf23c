"""Devices held for review over HTTP: who may look, who may judge, and what a batch is."""

import pytest

from tests.support.api_owner import ApiOwner, code_of
from tests.support.certificates import Pair
from tests.support.held_on_server import held_device, held_devices, key_of
from tests.support.world import RunningServer

ABSENT = "0" * 64


@pytest.fixture
def server(fresh: RunningServer) -> RunningServer:
    """The server, as the owner of a factory that nobody has touched sees it."""
    return fresh


@pytest.fixture
def site(server: RunningServer) -> Pair:
    """A local device CA of the factory."""
    owner = ApiOwner(server)
    owner.take_over()
    return owner.add_local_ca()


def path(server: RunningServer, rest: str = "") -> str:
    return f"/ota/factories/{server.factory}/held-devices/{rest}"


def verdicts(*keys: tuple[str, str]) -> dict[str, object]:
    return {"held": [{"uuid": uuid, "key-sha256": key} for uuid, key in keys]}


def outcomes(answer) -> list[tuple[bool, str | None]]:
    assert answer.status_code == 200, answer.text
    return [(one["done"], one["code"]) for one in answer.json()["outcomes"]]


def test_a_held_device_is_shown_with_what_a_review_needs(server: RunningServer, site: Pair) -> None:
    device = held_device(server, site, "dev-1")
    (shown,) = server.call("GET", path(server)).json()["held"]
    assert (shown["uuid"], shown["factory"], shown["key-sha256"]) == ("dev-1", server.factory, key_of(device))
    assert shown["ca-serial"] == str(site.certificate.serial_number)
    assert shown["not-before"].endswith("+00:00")
    assert shown["replaces-key"] is False


def test_pages_follow_one_another_by_absolute_address(server: RunningServer, site: Pair) -> None:
    held_devices(server, site, ["dev-1", "dev-2", "dev-3"])
    first = server.call("GET", path(server, "?limit=2")).json()
    assert (len(first["held"]), first["total"]) == (2, 3)
    assert first["next"].startswith(server.api_url)
    second = server.call("GET", first["next"].removeprefix(server.api_url)).json()
    assert ([one["uuid"] for one in second["held"]], second["next"]) == (["dev-3"], None)


def test_each_verdict_of_a_batch_has_an_outcome_of_its_own(server: RunningServer, site: Pair) -> None:
    device = held_device(server, site, "dev-1")
    batch = verdicts(("dev-1", key_of(device)), ("nobody", ABSENT), ("dev-1", ABSENT))
    answer = server.call("POST", path(server, "accept/"), document=batch)
    assert outcomes(answer) == [(True, None), (False, "held-unknown"), (False, "held-unknown")]
    assert server.call("GET", "/ota/devices/dev-1/").status_code == 200


@pytest.mark.parametrize("verdict", ["accept/", "refuse/"])
def test_the_same_verdict_again_succeeds(server: RunningServer, site: Pair, verdict: str) -> None:
    batch = verdicts(("dev-1", key_of(held_device(server, site, "dev-1"))))
    for _ in range(2):
        assert outcomes(server.call("POST", path(server, verdict), document=batch)) == [(True, None)]


@pytest.mark.parametrize(("verdict", "scope"), [("accept/", "devices:create"), ("refuse/", "devices:delete")])
def test_a_token_without_the_scope_judges_nobody(server: RunningServer, site: Pair, verdict: str, scope: str) -> None:
    batch = verdicts(("dev-1", key_of(held_device(server, site, "dev-1"))))
    lacking = {"devices:create", "devices:delete", "devices:read"} - {scope}
    poor = server.create_token(*sorted(lacking))
    assert code_of(server.call("POST", path(server, verdict), document=batch, token=poor)) == (403, "scope-missing")
    assert server.call("GET", path(server)).json()["total"] == 1
    rich = server.create_token(scope)
    assert outcomes(server.call("POST", path(server, verdict), document=batch, token=rich)) == [(True, None)]


def test_a_stations_token_registers_and_accepts_nobody(server: RunningServer, site: Pair) -> None:
    batch = verdicts(("dev-1", key_of(held_device(server, site, "dev-1"))))
    station = server.create_token("devices:create", user="station")
    assert code_of(server.call("POST", path(server, "accept/"), document=batch, token=station)) == (403, "role-missing")
    assert server.call("GET", path(server)).json()["total"] == 1


def test_who_may_not_read_devices_does_not_see_who_is_held(server: RunningServer) -> None:
    token = server.create_token("devices:create", user="station-2")
    assert code_of(server.call("GET", path(server), token=token)) == (403, "scope-missing")
    assert server.call("GET", path(server), token=None).status_code == 401


def test_another_factory_s_held_devices_are_not_in_reach(server: RunningServer, site: Pair) -> None:
    batch = verdicts(("dev-1", key_of(held_device(server, site, "dev-1"))))
    other = server.for_factory(f"{server.factory}-other")
    assert other.call("GET", path(other)).json()["total"] == 0
    assert code_of(other.call("GET", path(server))) == (403, "wrong-factory")
    assert outcomes(other.call("POST", path(other, "accept/"), document=batch)) == [(False, "held-unknown")]
    assert server.call("GET", path(server)).json()["total"] == 1


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"held": []},
        {"held": [{"uuid": "dev-1"}]},
        {"held": [{"uuid": "dev-1", "key-sha256": "AB" * 32}]},
        {"held": [{"uuid": "dev-1", "key-sha256": "ab" * 31}]},
        {"held": [{"uuid": f"dev-{n}", "key-sha256": ABSENT} for n in range(201)]},
    ],
)
def test_verdicts_that_are_not_in_form_are_refused(server: RunningServer, document: dict[str, object]) -> None:
    answer = server.call("POST", path(server, "accept/"), document=document)
    assert code_of(answer) == (400, "bad-field")


def test_a_serial_that_is_none_is_refused(server: RunningServer) -> None:
    assert code_of(server.call("GET", path(server, "?ca_serial=0x1"))) == (400, "bad-query")
