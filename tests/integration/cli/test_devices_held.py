"""`ownroot devices held`, `accept` and `refuse` against a real server."""

import json

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ownroot.pki.encoding import spki_sha256
from ownroot.wire.held_devices import MOST_VERDICTS
from tests.support.api_owner import REVOKE, ApiOwner, accept
from tests.support.certificates import Pair
from tests.support.held_on_server import held_device, held_devices, key_of
from tests.support.owner import Owner
from tests.support.relay import Fault, Relay
from tests.support.world import RunningServer


@pytest.fixture
def api_owner(server: RunningServer) -> ApiOwner:
    """The same owner, who has taken over and can change the PKI."""
    made = ApiOwner(server)
    made.take_over()
    return made


@pytest.fixture
def site(api_owner: ApiOwner) -> Pair:
    """A local device CA."""
    return api_owner.add_local_ca()


@pytest.fixture
def three(server: RunningServer, site: Pair) -> list[Pair]:
    """Three held devices, `dev-1` to `dev-3`."""
    return held_devices(server, site, [f"dev-{number}" for number in (1, 2, 3)])


def uuids(owner: Owner) -> list[str]:
    return [one["uuid"] for one in owner.run("devices", "held", "--json").json["held"]]


def names(owner: Owner) -> list[str]:
    return [device["name"] for device in owner.run("devices", "list", "--json").json["devices"]]


# --- held


def test_held_shows_uuids_and_keys(owner: Owner, three: list[Pair]) -> None:
    done = owner.run("devices", "held")
    lines = done.out.splitlines()
    assert lines[0].split()[0] == "UUID"
    assert [line.split()[0] for line in lines[1:]] == ["dev-1", "dev-2", "dev-3"]
    assert key_of(three[0]) in lines[1]
    assert "3 of 3 devices held." in done.err


def test_held_pages_and_narrows_by_device_ca(owner: Owner, server: RunningServer, api_owner: ApiOwner) -> None:
    first, second = api_owner.add_local_ca(), api_owner.add_local_ca()
    held_devices(server, first, ["dev-1", "dev-2"])
    held_device(server, second, "dev-3")
    done = owner.run("devices", "held", "-n1", "-p2")
    assert done.out.splitlines()[1].startswith("dev-2")
    assert "Next page: add -p3" in done.err
    of_second = owner.run("devices", "held", "--by-ca-serial", str(second.certificate.serial_number), "--json").json
    assert [one["uuid"] for one in of_second["held"]] == ["dev-3"]


def test_nothing_held_says_so_and_is_no_error(owner: Owner) -> None:
    done = owner.run("devices", "held")
    assert (done.code, done.out) == (0, "")
    assert "No devices are held." in done.err


# --- accept


@pytest.mark.usefixtures("three")
def test_named_devices_are_accepted_and_the_others_stay_held(owner: Owner) -> None:
    done = owner.run("devices", "accept", "dev-1", "dev-3")
    assert done.code == 0, done.err
    assert "Accepted 2 devices; 0 stay held." in done.out
    assert names(owner) == ["dev-1", "dev-3"]
    assert uuids(owner) == ["dev-2"]


@pytest.mark.usefixtures("three")
def test_accepting_again_changes_nothing_and_is_no_error(owner: Owner) -> None:
    owner.run("devices", "accept", "dev-1")
    done = owner.run("devices", "accept", "dev-1")
    assert done.code == 0
    assert "nothing was changed" in done.out


@pytest.mark.usefixtures("three")
def test_a_uuid_that_is_not_held_ends_it_before_anything_is_changed(owner: Owner) -> None:
    done = owner.run("devices", "accept", "dev-1", "nobody", "--json")
    assert (done.code, done.error["code"]) == (6, "held-unknown")
    assert uuids(owner) == ["dev-1", "dev-2", "dev-3"]


@pytest.mark.usefixtures("three")
def test_dry_run_shows_whom_and_sends_nothing(owner: Owner, relay: Relay) -> None:
    shown = owner.run("devices", "accept", "--all", "--dry-run", "--json").json
    assert [one["uuid"] for one in shown["planned"]] == ["dev-1", "dev-2", "dev-3"]
    assert (shown["dry-run"], shown["done"]) == (True, [])
    assert not [line for line in relay.lines if line.startswith("POST")]
    assert len(uuids(owner)) == 3


@pytest.mark.usefixtures("three")
def test_all_asks_on_a_terminal_and_no_keeps_them_out(owner: Owner) -> None:
    done = owner.run_on_terminal("devices", "accept", "--all", typed="n\n")
    assert done.code == 10
    assert "Accept 3 devices held in factory" in done.out
    assert len(uuids(owner)) == 3


@pytest.mark.usefixtures("three")
def test_all_without_a_terminal_wants_yes(owner: Owner) -> None:
    assert owner.run("devices", "accept", "--all", "--json").error["code"] == "cannot-ask"
    assert len(uuids(owner)) == 3
    assert len(owner.run("devices", "accept", "--all", "--yes", "--json").json["done"]) == 3
    assert names(owner) == ["dev-1", "dev-2", "dev-3"]


def test_all_is_narrowed_by_device_ca(owner: Owner, server: RunningServer, api_owner: ApiOwner) -> None:
    good, doubtful = api_owner.add_local_ca(), api_owner.add_local_ca()
    held_device(server, good, "dev-1")
    held_device(server, doubtful, "dev-2")
    serial = str(good.certificate.serial_number)
    assert owner.run("devices", "accept", "--all", "--by-ca-serial", serial, "--yes").code == 0
    assert (names(owner), uuids(owner)) == (["dev-1"], ["dev-2"])


def test_many_go_in_batches_with_lines_of_progress(
    owner: Owner, server: RunningServer, site: Pair, relay: Relay
) -> None:
    held_devices(server, site, [f"dev-{number:03}" for number in range(MOST_VERDICTS + 1)])
    done = owner.run("devices", "accept", "--all", "--yes")
    assert f"Accepted {MOST_VERDICTS + 1} devices; 0 stay held." in done.out
    assert f"accept: {MOST_VERDICTS + 1} of {MOST_VERDICTS + 1}" in done.err
    assert len([line for line in relay.lines if line.startswith("POST")]) == 2


def test_a_connection_lost_between_batches_says_how_far_it_came_and_again_finishes(
    owner: Owner, server: RunningServer, site: Pair, relay: Relay
) -> None:
    held_devices(server, site, [f"dev-{number:03}" for number in range(MOST_VERDICTS + 1)])
    sent = []

    def lose_second(request):
        if request.method == "POST":
            sent.append(request)
        return Fault.ANSWER_LOST if request.method == "POST" and len(sent) == 2 else None

    relay.spoil = lose_second
    done = owner.run("devices", "accept", "--all", "--yes")
    assert done.code == 9
    assert f"Accepted before that: {MOST_VERDICTS} of {MOST_VERDICTS + 1}." in done.err
    relay.spoil = lambda _request: None
    assert owner.run("devices", "accept", "--all", "--yes").code == 0
    assert owner.run("devices", "list", "-n10", "--json").json["total"] == MOST_VERDICTS + 1


def test_several_keys_of_one_uuid_want_a_choice(owner: Owner, server: RunningServer, site: Pair) -> None:
    right, wrong = held_device(server, site, "dev-1"), held_device(server, site, "dev-1")
    done = owner.run("devices", "accept", "dev-1", "--json")
    assert done.code == 4
    assert "held-rival-key" in done.out
    assert owner.run("devices", "refuse", "dev-1", "--key", key_of(wrong)).code == 0
    assert owner.run("devices", "accept", "dev-1", "--key", key_of(right)).code == 0
    assert names(owner) == ["dev-1"]


def test_a_device_whose_ca_was_revoked_stays_out_and_the_others_get_in(
    owner: Owner, server: RunningServer, api_owner: ApiOwner
) -> None:
    good, stolen = api_owner.add_local_ca(), api_owner.add_local_ca()
    held_device(server, good, "dev-1")
    held_device(server, stolen, "dev-2")
    accept(api_owner.order(stolen, reason=REVOKE))
    done = owner.run("devices", "accept", "--all", "--yes")
    assert done.code == 4
    assert "[device-ca-revoked]" in done.out
    assert "Accepted 1 device; 1 stay held." in done.out
    assert names(owner) == ["dev-1"]


def test_accepting_a_new_key_of_a_known_device_says_so(
    owner: Owner, server: RunningServer, api_owner: ApiOwner, site: Pair
) -> None:
    accept(api_owner.register("dev-1"))
    renewed = held_device(server, site, "dev-1")
    done = owner.run("devices", "accept", "dev-1")
    assert "in place of the key it is known with" in done.err
    shown = owner.run("devices", "show", "dev-1", "--json").json["public-key"]
    assert key_of(renewed) == key_of_pem(shown)


def test_all_leaves_out_whoever_would_replace_a_known_key_unless_told(
    owner: Owner, server: RunningServer, api_owner: ApiOwner, site: Pair
) -> None:
    accept(api_owner.register("dev-1"))
    held_devices(server, site, ["dev-1", "dev-2"])
    done = owner.run("devices", "accept", "--all", "--yes", "--json")
    assert done.code == 4
    assert [one["code"] for one in json.loads(done.out)["not-done"]] == ["held-key-replaces"]
    assert (names(owner), uuids(owner)) == (["dev-1", "dev-2"], ["dev-1"])
    assert owner.run("devices", "accept", "--all", "--replace-keys", "--yes").code == 0
    assert uuids(owner) == []


def key_of_pem(pem: str) -> str:
    return spki_sha256(load_pem_public_key(pem.encode())).hex()


# --- refuse


@pytest.mark.usefixtures("three")
def test_refused_devices_are_on_the_deny_list(owner: Owner, server: RunningServer) -> None:
    assert owner.run("devices", "refuse", "--all", "--yes").code == 0
    denied = server.call("GET", f"/ota/factories/{server.factory}/denied-devices/").json()
    assert [entry["uuid"] for entry in denied["devices"]] == ["dev-1", "dev-2", "dev-3"]
    assert uuids(owner) == []


# --- the command line


@pytest.mark.parametrize("words", [(), ("dev-1", "--all"), ("dev-1", "--by-ca-serial", "7"), ("--all", "--key", "ab")])
def test_a_command_line_that_says_two_things_or_none_is_refused(owner: Owner, relay: Relay, words: tuple[str, ...]):
    assert owner.run("devices", "accept", *words).code == 2
    assert relay.requests == []


@pytest.mark.usefixtures("three")
def test_doctor_says_that_devices_are_held(owner: Owner) -> None:
    findings = owner.run("doctor", "--json").json["findings"]
    assert [one["code"] for one in findings if one["code"] == "devices-held"] == ["devices-held"]
