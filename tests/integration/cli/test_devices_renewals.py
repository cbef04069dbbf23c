"""`ownroot devices cancel-rotation` and `devices recovery` against a real server."""

import json

from tests.support.api_owner import ApiOwner
from tests.support.certificates import make_key
from tests.support.enrolling import registered
from tests.support.owner import Owner
from tests.support.world import RunningServer


def test_recovery_is_off_until_it_is_set_and_off_again(owner: Owner) -> None:
    assert "No device may renew" in owner.run("devices", "recovery").out
    assert "up to 90 days" in owner.run("devices", "recovery", "--days", "90").out
    shown = owner.run("devices", "recovery", "--json").json
    assert (shown["max-expired-days"], len(shown["set-by"])) == (90, 24)
    assert owner.run("devices", "recovery", "--off", "--json").json["max-expired-days"] == 0


def test_recovery_takes_one_answer_and_a_sane_number(owner: Owner) -> None:
    for words in (("--days", "90", "--off"), ("--days", "0"), ("--days", "3651"), ("--days", "soon")):
        assert owner.run("devices", "recovery", *words).code == 2


def test_rotations_lists_who_is_between_two_keys_with_the_reason(owner: Owner, server: RunningServer) -> None:
    device = registered(ApiOwner(server), "between")
    registered(ApiOwner(server), "at-rest")
    device.server_name = f"{server.factory}.{server.gateway_name}"
    assert device.announce(make_key()).status == 200
    (one,) = owner.run("devices", "rotations", "--json").json["rotations"]
    assert (one["uuid"], one["last-event"]) == ("between", None)
    events = [told("CertRotationStarted", True, ""), told("Generate new certificate", False, "disk full")]
    assert device.send("POST", "/events", json.dumps(events).encode()).status == 200
    shown = owner.run("devices", "rotations")
    assert "between: since " in shown.out
    assert "'Generate new certificate' failed: disk full" in shown.out
    assert owner.run("devices", "cancel-rotation", "between", "--json").code == 0
    assert owner.run("devices", "rotations", "--json").json["rotations"] == []


def told(name: str, success: bool, details: str) -> dict[str, object]:
    event = {"correlationId": "certs-1", "success": success, "details": details}
    return {"id": name.replace(" ", "-"), "deviceTime": "", "eventType": {"id": name}, "event": event}


def test_a_rotation_is_shown_and_cancelled(owner: Owner, server: RunningServer) -> None:
    device = registered(ApiOwner(server), "rotates")
    device.server_name = f"{server.factory}.{server.gateway_name}"
    assert device.announce(make_key()).status == 200
    assert "Next key since" in owner.run("devices", "show", "rotates").out
    assert owner.run("devices", "cancel-rotation", "rotates", "--json").json["cancelled"] == "rotates"
    assert "Next key since" not in owner.run("devices", "show", "rotates").out
    again = owner.run("devices", "cancel-rotation", "rotates", "--json")
    assert (again.code, again.error["code"]) == (6, "rotation-none")
