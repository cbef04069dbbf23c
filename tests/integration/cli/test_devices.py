"""`ownroot devices` against a real server."""

import pytest

from tests.support.device_csrs import device_csr
from tests.support.owner import Owner
from tests.support.relay import Fault, Instead, Relay
from tests.support.world import RunningServer

UUIDS = tuple(f"11111111-2222-4333-8444-00000000000{number}" for number in (1, 2))


@pytest.fixture
def fleet(server: RunningServer) -> tuple[str, ...]:
    """The names of two registered devices."""
    for number, uuid in enumerate(UUIDS, start=1):
        csr = device_csr(uuid, factory=server.factory)
        document = {"csr": csr, "hardware-id": "amd64-linux", "uuid": uuid, "name": f"line-{number}"}
        answer = server.call("POST", "/ota/devices/", document=document)
        assert answer.status_code == 201, answer.text
    return ("line-1", "line-2")


@pytest.mark.usefixtures("fleet")
def test_list_shows_names_uuids_and_standing(owner: Owner) -> None:
    done = owner.run("devices", "list")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split()[:3] == ["NAME", "UUID", "STATUS"]
    assert [line.split()[0] for line in lines[1:]] == ["line-1", "line-2"]
    assert "never seen" in lines[1]
    assert "2 of 2 devices" in done.err


@pytest.mark.usefixtures("fleet")
def test_list_takes_a_pattern_and_a_page_size(owner: Owner, relay: Relay) -> None:
    found = owner.run("devices", "list", "*-2", "--json").json
    assert [device["name"] for device in found["devices"]] == ["line-2"]
    owner.run(
        *(
            "devices",
            "list",
            "-n10",
            "--by-group",
            "b c",
            "--only-prod",
            "--sort-by",
            "-last-seen",
            "-p2",
            "--just-mine",
        ),
        "--json",
    )
    query = "group=b+c&limit=10&mine=1&page=2&prod=1&sortby=-last_seen"
    assert relay.lines[-1] == f"GET /ota/devices/?factory={owner.environment['OWNROOT_FACTORY']}&{query}"


@pytest.mark.parametrize(
    "words",
    [
        ("devices", "list", "--only-prod", "--only-non-prod"),
        ("devices", "clone-policy", "--tell", "--quarantine"),
        ("keys", "ca", "show", "--just-root", "--just-tls"),
    ],
)
def test_switches_that_rule_each_other_out_are_refused_together(
    owner: Owner, relay: Relay, words: tuple[str, ...]
) -> None:
    done = owner.run(*words)
    assert (done.code, f"{words[-2]} or {words[-1]}" in done.err) == (2, True)
    assert relay.requests == []


def test_empty_list_says_so_and_is_no_error(owner: Owner) -> None:
    done = owner.run("devices", "list")
    assert (done.code, done.out) == (0, "")
    assert "No devices." in done.err


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lime-*",), "name 'lime-*'"),
        (("--by-tag", "nope", "--only-non-prod"), "tag 'nope', test"),
        (("--only-prod", "-p2"), "production"),
    ],
)
def test_list_of_nothing_says_what_it_was_narrowed_to(owner: Owner, words: tuple[str, ...], said: str) -> None:
    done = owner.run("devices", "list", *words)
    assert (done.code, done.out, done.err) == (0, "", f"No device matches: {said}.\n")


@pytest.mark.usefixtures("fleet")
def test_group_that_does_not_exist_is_told_from_one_that_is_empty(
    owner: Owner, server: RunningServer, relay: Relay
) -> None:
    path = f"/ota/factories/{server.factory}/device-groups/"
    assert server.call("POST", path, document={"name": "beta"}).status_code == 201
    done = owner.run("devices", "list", "-g", "betta")
    assert (done.code, "device-group-unknown" in done.err, "'betta'" in done.err) == (6, True, True)
    assert owner.run("devices", "list", "-g", "beta").err == "No device matches: group 'beta'.\n"
    assert owner.run("devices", "list", "-g", "betta", "--json").json["devices"] == []

    assert owner.run("devices", "config", "group", "line-1", "beta").code == 0
    relay.requests.clear()
    assert owner.run("devices", "list", "-g", "beta").code == 0
    assert not [line for line in relay.lines if "device-groups" in line]


@pytest.mark.usefixtures("fleet")
def test_show_finds_a_device_by_name_and_by_uuid(owner: Owner, server: RunningServer) -> None:
    assert owner.run("devices", "show", "line-1", "--json").json["uuid"] == UUIDS[0]
    shown = owner.run("devices", "show", "-u", UUIDS[1])
    assert "line-2" in shown.out
    user = server.call("GET", f"/ota/factories/{server.factory}/users/self/").json()
    assert f"{user['name']} ({user['polis-id']})" in shown.out
    assert "BEGIN PUBLIC KEY" in shown.out
    assert owner.run("devices", "show", UUIDS[1]).code == 6


@pytest.mark.usefixtures("fleet")
def test_deleted_devices_are_gone(owner: Owner) -> None:
    assert owner.run("devices", "delete", "line-1", "line-2", "--json").json["deleted"] == ["line-1", "line-2"]
    assert owner.run("devices", "list", "--json").json["total"] == 0


@pytest.mark.usefixtures("fleet")
def test_first_device_that_cannot_be_deleted_ends_the_run(owner: Owner) -> None:
    done = owner.run("devices", "delete", "line-1", "nobody", "line-2")
    assert done.code == 6
    assert "Deleted line-1" in done.out
    assert [device["name"] for device in owner.run("devices", "list", "--json").json["devices"]] == ["line-2"]


@pytest.mark.usefixtures("fleet")
def test_on_a_terminal_no_keeps_the_device(owner: Owner) -> None:
    assert owner.run_on_terminal("devices", "delete", "line-1", typed="n\n").code == 10
    assert owner.run("devices", "list", "--json").json["total"] == 2
    assert owner.run_on_terminal("devices", "delete", "line-1", "--yes").code == 0


def test_delete_has_no_body(owner: Owner, relay: Relay) -> None:
    owner.run("devices", "delete", "nobody")
    assert relay.requests[-1].body == b""


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "line-1/config/f", "a\nb"])
def test_name_that_would_be_another_path_is_never_sent(owner: Owner, relay: Relay, name: str) -> None:
    assert owner.run("devices", "delete", name, "--json").error["code"] == "bad-name"
    assert relay.requests == []


@pytest.mark.parametrize("name", ["...", "a?b=c", "a#b", "a%b", "a b"])
def test_odd_name_stays_one_segment_of_the_path(owner: Owner, relay: Relay, name: str) -> None:
    relay.spoil = lambda _request: Instead(204)
    assert owner.run("devices", "delete", name).code == 0
    path, _, query = relay.requests[-1].path.partition("?")
    assert path.count("/") == 4
    assert query == f"factory={owner.environment['OWNROOT_FACTORY']}"


def test_lost_connection_says_that_it_may_have_been_done(owner: Owner, relay: Relay) -> None:
    relay.spoil = lambda _request: Fault.ANSWER_LOST
    done = owner.run("devices", "delete", "nobody")
    assert done.code == 9
    assert "may or may not have been carried out" in done.err


def test_server_that_is_not_there_says_where_it_was_looked_for(owner: Owner) -> None:
    done = owner.having(OWNROOT_URL="http://127.0.0.1:9").run("devices", "list")
    assert done.code == 9
    assert "127.0.0.1:9: connection refused" in done.err
