"""`ownroot devices list --export` against a real server."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ownroot.cli import devices_export
from ownroot.client.access import ApiAccess
from ownroot.client.api import Api
from ownroot.client.device_query import DeviceQuery
from tests.support.device_csrs import device_csr
from tests.support.owner import Owner
from tests.support.relay import Instead, Relay
from tests.support.world import RunningServer

NAMES = ("c", "a", "b", "a-1", "B")
TERMINAL_WIDTH = 100  # of tests.support.owner
BY_NAME = ["B", "a", "a-1", "b", "c"]


@pytest.fixture
def fleet(server: RunningServer) -> RunningServer:
    for number, name in enumerate(NAMES):
        uuid = f"11111111-2222-4333-8444-00000000000{number}"
        document = {"csr": device_csr(uuid, factory=server.factory), "hardware-id": "x", "uuid": uuid, "name": name}
        assert server.call("POST", "/ota/devices/", document=document).status_code == 201
    return server


@pytest.mark.usefixtures("fleet")
def test_json_lines_hold_what_the_listing_shows(owner: Owner) -> None:
    done = owner.run("devices", "list", "--export", "jsonl")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    shown = {device["uuid"]: device for device in owner.run("devices", "list", "--json").json["devices"]}
    assert [line["name"] for line in lines] == BY_NAME
    assert {line["uuid"]: line for line in lines} == shown
    assert "5 of 5" in done.err


@pytest.mark.usefixtures("fleet")
def test_csv_goes_to_a_file_that_import_reads(owner: Owner, tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    done = owner.run("devices", "list", "a*", "--export", "csv", "--to", path)
    assert (done.code, done.out) == (0, ""), done.err
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert [row["name"] for row in rows] == ["a", "a-1"]
    assert rows[0]["public-key"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert rows[0]["ca-serial"].isdecimal()
    assert rows[0]["is-prod"] == "false"
    assert datetime.fromisoformat(rows[0]["certificate-ends"]) > datetime.now(UTC)
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith("fleet")] == ["fleet.csv"]


@pytest.mark.usefixtures("fleet")
def test_an_export_says_whose_key_may_be_copied_and_who_is_in_quarantine(owner: Owner) -> None:
    assert owner.run("devices", "quarantine", "b", "--reason", "=stolen", "--yes").code == 0
    rows = {
        row["name"]: row for row in csv.DictReader(io.StringIO(owner.run("devices", "list", "--export", "csv").out))
    }
    lines = [json.loads(line) for line in owner.run("devices", "list", "--export", "jsonl").out.splitlines()]
    marks = {line["name"]: line["suspicion"] for line in lines}
    assert (marks["a"], marks["b"]["sign"], marks["b"]["detail"]) == (None, "owner", "=stolen")
    told = [(rows[name]["suspicion"], rows[name]["quarantined-at"]) for name in ("a", "b")]
    assert told == [("", ""), ("owner", marks["b"]["quarantined-at"])]
    assert "=stolen" not in str(rows), "a spreadsheet would run it"


def test_pages_follow_one_another_and_none_is_asked_for_twice(
    fleet: RunningServer, owner: Owner, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices_export, "PAGE_DEVICES", 2)
    with Api(ApiAccess(url=relay.url, factory=fleet.factory, token=fleet.owner_token)) as api:
        found = [[device.name for device in page] for page, _ in devices_export.pages(api, DeviceQuery())]
    assert found == [["B", "a"], ["a-1", "b"], ["c"]]
    asked = [line.partition("?")[2].partition("&")[0] for line in relay.lines[-3:]]
    assert asked == [f"factory={fleet.factory}", "after=a", "after=b"]


@pytest.mark.parametrize("last", ["a", "A", ""])
def test_a_server_that_does_not_go_on_after_a_name_ends_the_export(
    fleet: RunningServer, owner: Owner, relay: Relay, tmp_path: Path, last: str
) -> None:
    devices = [{"uuid": name, "factory": fleet.factory, "name": name} for name in ("a", last)]
    answer = Instead(200, json.dumps({"devices": devices, "total": 4, "next": None}).encode())
    relay.spoil = lambda request: answer if "/ota/devices/" in request.path else None
    path = tmp_path / "fleet.csv"
    path.write_text("before")
    done = owner.run("devices", "list", "--export", "csv", "--to", path)
    assert done.code != 0
    assert "does not know how to go on" in done.err
    assert [found.read_text() for found in tmp_path.glob("fleet*")] == ["before"]


@pytest.mark.parametrize("option", [("--json",), ("-p2",), ("--sort-by", "-name")])
def test_an_export_takes_no_page_and_no_other_order(owner: Owner, option: tuple[str, ...]) -> None:
    done = owner.run("devices", "list", "--export", "csv", *option)
    assert done.code == 2
    assert "--export writes everything by name" in done.err


def test_a_file_without_an_export_is_a_slip(owner: Owner, tmp_path: Path) -> None:
    assert owner.run("devices", "list", "--to", tmp_path / "x.csv").code == 2


@pytest.mark.usefixtures("fleet")
def test_without_a_factory_the_devices_of_the_token_are_listed(owner: Owner, fleet: RunningServer) -> None:
    nowhere = owner.at(fleet.api_url, factory="", token=fleet.owner_token)
    assert owner.run("devices", "list", "--json").json == nowhere.run("devices", "list", "--json").json
    assert nowhere.run("devices", "show", "a").code != 0


@pytest.mark.usefixtures("fleet")
def test_on_a_terminal_every_row_is_one_line(owner: Owner) -> None:
    done = owner.run_on_terminal("devices", "list")
    assert done.code == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.out).splitlines()
    rows = [line for line in lines if "never seen" in line]
    assert [row.split()[0] for row in rows] == BY_NAME
    assert all(len(row) <= TERMINAL_WIDTH for row in rows)
    assert "Not shown at this width: " in done.out


@pytest.mark.usefixtures("fleet")
def test_a_pipe_gets_every_column(owner: Owner) -> None:
    head, *rows = owner.run("devices", "list").out.splitlines()
    assert "OWNER" in head
    assert head.split()[-1] == "CA"
    assert all(row.split()[-1].isdecimal() for row in rows)
