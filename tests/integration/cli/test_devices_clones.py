"""`ownroot devices quarantine|release|clone-policy`, and where a suspicion is told, against a real server."""

import pytest

from tests.integration.cli.test_devices import UUIDS, fleet
from tests.support.enrolling import audited
from tests.support.owner import Owner
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
    assert (released.code, "ownroot config rotate-certs" in released.out) == (0, True)
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
