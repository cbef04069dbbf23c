"""`ownroot devices quarantine|release|clone-policy`, and where a suspicion is told, against a real server."""

import sqlite3
from contextlib import closing

import pytest

from tests.integration.cli.test_devices import UUIDS, fleet
from tests.support.enrolling import audited
from tests.support.owner import Owner
from tests.support.relay import Relay
from tests.support.world import RunningServer

__all__ = ["fleet"]


def test_a_factory_is_told_until_it_wants_a_quarantine(owner: Owner) -> None:
    assert "is marked and goes on" in owner.run("devices", "clone-policy").out
    assert "is refused until it is released" in owner.run("devices", "clone-policy", "--quarantine").out
    shown = owner.run("devices", "clone-policy", "--json").json
    assert (shown["on-suspicion"], len(shown["set-by"])) == ("quarantine", 24)
    assert owner.run("devices", "clone-policy", "--tell", "--json").json["on-suspicion"] == "tell"


@pytest.mark.usefixtures("fleet")
def test_a_quarantine_is_told_everywhere_until_the_device_is_released(owner: Owner, server: RunningServer) -> None:
    put = owner.run("devices", "quarantine", "line-1", "--reason", "stolen", "--yes")
    assert (put.code, f"ownroot devices release {UUIDS[0]}" in put.out) == (0, True)
    assert "Key copied?:" in owner.run("devices", "show", "line-1").out
    assert "in quarantine since" in owner.run("devices", "why", UUIDS[0]).out
    assert owner.run("devices", "why", "line-1", "--json").json["suspicion"]["detail"] == "stolen"
    (line,) = [line for line in owner.run("devices", "list").out.splitlines() if "line-1" in line]
    assert "quarantined" in line
    listed = owner.run("devices", "list", "--only-suspected", "--json").json
    assert [device["name"] for device in listed["devices"]] == ["line-1"]
    assert "devices-suspected" in owner.run("doctor").out

    released = owner.run("devices", "release", UUIDS[0], "--reason", "found again", "--yes")
    assert (released.code, "ownroot devices config rotate-certs" in released.out) == (0, True)
    assert "Key copied?:" not in owner.run("devices", "show", "line-1").out
    assert "devices-suspected" not in owner.run("doctor").out
    told = {
        event["kind"]: event["details"]["reason"]
        for event in audited(server)
        if event["subject"] == UUIDS[0] and event["kind"] in ("device:quarantined", "device:released")
    }
    assert told == {"device:quarantined": "stolen", "device:released": "found again"}


@pytest.mark.usefixtures("fleet")
def test_what_is_not_there_or_under_no_suspicion_is_named(owner: Owner) -> None:
    released = owner.run("devices", "release", "line-2", "--yes", "--json")
    assert (released.code, released.error["code"]) == (6, "suspicion-none")
    unknown = owner.run("devices", "quarantine", "nobody", "--yes", "--json")
    assert (unknown.code, unknown.error["code"]) == (6, "device-unknown")
    assert owner.run("devices", "quarantine", "line-2", "--json", "--yes").json["suspicion"]["sign"] == "owner"
    assert owner.run("devices", "release", "line-2", "--json", "--yes").json["suspicion"] is None


@pytest.mark.usefixtures("fleet")
def test_a_second_quarantine_says_that_its_reason_is_kept_nowhere(owner: Owner) -> None:
    first = owner.run("devices", "quarantine", "line-1", "--reason", "stolen", "--yes")
    assert ("(owner). stolen" in first.out, "kept nowhere" in first.err) == (True, False)
    second = owner.run("devices", "quarantine", "line-1", "--reason", "sold", "--yes")
    assert (second.code, "(owner). stolen" in second.out, "kept nowhere" in second.err) == (0, True, True)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(("words", "kept"), [(("--reason", "stolen"), " Put in quarantine: stolen"), ((), "")])
def test_reason_is_put_behind_what_a_device_was_suspected_of(
    owner: Owner, server: RunningServer, words: tuple[str, ...], kept: str
) -> None:
    suspect(server, UUIDS[0], "An old key came.")
    owner.run("devices", "quarantine", "line-1", *words, "--yes")
    suspicion = owner.run("devices", "show", "line-1", "--json").json["suspicion"]
    assert (suspicion["sign"], suspicion["detail"]) == ("old-key", f"An old key came.{kept}")
    assert f"An old key came.{kept}\n" in owner.run("devices", "show", "line-1").out


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("verb", ["quarantine", "release"])
def test_reason_of_two_lines_is_refused_by_the_name_the_page_gives_it(owner: Owner, relay: Relay, verb: str) -> None:
    done = owner.run("devices", verb, "line-1", "--reason", "one\ntwo", "--yes", "--json")
    assert (done.error["code"], relay.requests) == ("reason-invalid", [])


def suspect(server: RunningServer, uuid: str, detail: str) -> None:
    """Put a device under suspicion in the database; a sign by itself takes an hour."""
    with closing(sqlite3.connect(server.data_dir / "ownroot.db")) as database, database:
        (factory,) = database.execute("SELECT id FROM factories WHERE name = ?", (server.factory,)).fetchone()
        change = (
            "UPDATE devices SET suspicion = 'old-key', suspicion_detail = ?, suspected_at = 1 "
            "WHERE uuid = ? AND factory_id = ?"
        )
        assert database.execute(change, (detail, uuid, factory)).rowcount == 1
