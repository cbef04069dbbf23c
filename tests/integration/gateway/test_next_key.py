"""PATCH /device: the key a device will come with next (protocol: gateway.md §6.2)."""

import json
from collections.abc import Iterator

import pytest

from tests.support.api_owner import ApiOwner
from tests.support.certificates import Key, make_key, make_rsa_key
from tests.support.enrolling import Enrolling, audited, code_of, public_pem, registered
from tests.support.world import running_server


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("next-key"), workers=1) as server:
        yield ApiOwner(server)


@pytest.fixture(scope="module")
def patient(owner: ApiOwner) -> Enrolling:
    return registered(owner, "patient")


def announced(owner: ApiOwner, uuid: str) -> str | None:
    """Return the hash of the next key, as the owner sees it."""
    next_key = owner.server.call("GET", f"/ota/devices/{uuid}/?factory=acme").json()["next-key"]
    return None if next_key is None else str(next_key["key-sha256"])


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_a_key_of_these_curves_is_stored_and_answered_with_exactly_200(owner: ApiOwner, curve: str) -> None:
    device = registered(owner, f"announces-{curve}")
    reply = device.announce(make_key(curve))
    assert (reply.status, reply.headers["content-type"], json.loads(reply.body)) == (200, "application/json", {})
    assert announced(owner, f"announces-{curve}") is not None


def test_a_repeat_changes_nothing_and_a_later_key_takes_the_place(owner: ApiOwner) -> None:
    device, key = registered(owner, "repeats"), make_key()
    assert device.announce(key).status == 200
    first = announced(owner, "repeats")
    assert device.announce(key).status == 200
    assert announced(owner, "repeats") == first
    assert device.announce(make_key()).status == 200
    assert announced(owner, "repeats") not in (None, first)


MALFORMED = {
    "empty": b"",
    "no JSON": b"next_pubkey",
    "array": b"[1]",
    "nothing": b"{}",
    "number": b'{"next_pubkey": 7}',
    "null": b'{"next_pubkey": null}',
    "no UTF-8": b'{"next_pubkey": "\xff"}',
}


@pytest.mark.parametrize("case", MALFORMED)
def test_bodies_of_another_shape_are_refused(patient: Enrolling, case: str) -> None:
    assert code_of(patient.patch_device(MALFORMED[case])) == (400, "next-key-request")


def text_of(key: Key) -> str:
    return public_pem(key)


KEYS = {
    "no PEM": "hello",
    "two keys": text_of(make_key()) + text_of(make_key()),
    "damaged": "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
    "RSA": text_of(make_rsa_key(2048)),
    "P-224": text_of(make_key("secp224r1")),
    "secp256k1": text_of(make_key("secp256k1")),
}


@pytest.mark.parametrize("case", KEYS)
def test_keys_no_device_may_have_are_refused(owner: ApiOwner, patient: Enrolling, case: str) -> None:
    body = json.dumps({"next_pubkey": KEYS[case]}).encode()
    assert code_of(patient.patch_device(body)) == (400, "next-key-malformed")
    assert announced(owner, "patient") is None


def test_the_present_key_is_refused(owner: ApiOwner, patient: Enrolling) -> None:
    assert patient.identity is not None
    assert code_of(patient.announce(patient.identity.key)) == (400, "next-key-current")
    assert announced(owner, "patient") is None


def test_the_present_and_the_next_key_of_another_device_are_refused(owner: ApiOwner, patient: Enrolling) -> None:
    other, coming = registered(owner, "other"), make_key()
    assert other.identity is not None
    assert code_of(patient.announce(other.identity.key)) == (400, "next-key-taken")
    assert other.announce(coming).status == 200
    assert code_of(patient.announce(coming)) == (400, "next-key-taken")
    assert announced(owner, "patient") is None


def test_an_announced_key_is_no_other_devices_at_registration(owner: ApiOwner) -> None:
    coming = make_key()
    assert registered(owner, "announced-first").announce(coming).status == 200
    refused = owner.register_over("registers-later", coming)
    assert (refused.status_code, refused.json()["code"]) == (409, "device-key-taken")


def test_a_replaced_key_is_refused_at_every_door(owner: ApiOwner, patient: Enrolling) -> None:
    old = registered(owner, "moves-on")
    assert old.identity is not None
    new = old.renewed()
    assert old.announce().status == 200
    assert new.get().status == 200
    assert code_of(new.announce(old.identity.key)) == (400, "next-key-replaced")
    assert code_of(patient.announce(old.identity.key)) == (400, "next-key-replaced")
    assert code_of(old.announce(make_key())) == (403, "device-key-replaced")
    refused = owner.register_over("another-device", old.identity.key)
    assert (refused.status_code, refused.json()["code"]) == (409, "device-key-replaced")


def test_a_replaced_key_is_told_when_and_reported_once(owner: ApiOwner) -> None:
    old = registered(owner, "copied")
    new = old.renewed()
    assert old.announce().status == 200
    assert new.get().status == 200
    refusals = [old.get() for _ in range(3)]
    assert {code_of(reply) for reply in refusals} == {(403, "device-key-replaced")}
    assert " UTC " in refusals[0].text
    events = [event for event in audited(owner.server) if event["subject"] == "copied"]
    assert [event["kind"] for event in events].count("device:old-key-shown") == 1
    (changed,) = [event for event in events if event["kind"] == "device:key-changed"]
    assert set(changed["details"]) == {"old", "new"}


def test_the_owner_sees_the_key_a_device_announced_and_may_cancel(owner: ApiOwner) -> None:
    old = registered(owner, "announces")
    path = "/ota/devices/announces/"
    assert owner.server.call("GET", path + "?factory=acme").json()["next-key"] is None
    assert owner.server.call("DELETE", path + "rotation/?factory=acme").status_code == 404
    assert old.announce().status == 200
    shown = owner.server.call("GET", path + "?factory=acme").json()["next-key"]
    assert len(shown["key-sha256"]) == 64
    assert shown["announced-at"].endswith("+00:00")
    assert owner.server.call("DELETE", path + "rotation/?factory=acme").status_code == 204
    assert owner.server.call("GET", path + "?factory=acme").json()["next-key"] is None
    assert code_of(old.renewed().get()) == (403, "device-key-mismatch")
    assert old.get().status == 200


def test_device_that_announces_without_end_is_told_when_to_come_again_and_another_is_not(owner: ApiOwner) -> None:
    eager, other = registered(owner, "eager"), registered(owner, "unhurried")
    assert {eager.announce(make_key()).status for _ in range(20)} == {200}
    refused = eager.announce(make_key())
    assert code_of(refused) == (429, "changes-too-often")
    assert 0 < int(refused.headers["retry-after"]) <= 30
    assert eager.get().status == 200
    assert other.announce().status == 200
