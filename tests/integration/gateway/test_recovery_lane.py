"""A device whose certificate has expired: nothing but a renewal, if the owner allows it, with its pinned key."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ownroot.clock import utc_now
from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair, device_certificate, make_key
from tests.support.enrolling import Enrolling, audited, certificate_of, code_of, eventually
from tests.support.world import running_server

PATH = "/ota/factories/acme/recovery/"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("recovery"), workers=1) as server:
        made = ApiOwner(server)
        made.take_over()
        yield made


@pytest.fixture(scope="module")
def ca(owner: ApiOwner) -> Pair:
    return owner.add_local_ca(not_before=utc_now() - timedelta(days=900))


@pytest.fixture
def allowed(owner: ApiOwner) -> Iterator[None]:
    """The owner lets devices renew up to 30 days after the end, and not any more afterwards."""
    set_days(owner, 30)
    yield
    set_days(owner, 0)


def set_days(owner: ApiOwner, days: int) -> None:
    answer = owner.server.call("PUT", PATH, document={"max-expired-days": days})
    assert (answer.status_code, answer.json()["max-expired-days"]) == (200, days)


def known(owner: ApiOwner, ca: Pair, uuid: str) -> Enrolling:
    """A device that was here while its certificate was good."""
    device = Enrolling(owner.server.gateway_address, device_certificate(ca, uuid, now=utc_now()))
    eventually(lambda: device.get().status == 200)
    return device


def expired(ca: Pair, device: Enrolling, *, days: int = 2) -> Enrolling:
    """The same device, as many days after the end of its certificate."""
    assert device.identity is not None
    uuid = str(device.identity.certificate.subject.rfc4514_string()).split("CN=")[1].split(",")[0]
    end = utc_now() - timedelta(days=days)
    dates = {"not_before": end - timedelta(days=365), "not_after": end}
    identity = device_certificate(ca, uuid, key=device.identity.key, **dates)
    return Enrolling(device.address, identity, device.key)


@pytest.mark.usefixtures("allowed")
def test_a_known_device_renews_with_its_pinned_key_and_is_back(owner: ApiOwner, ca: Pair) -> None:
    late = expired(ca, known(owner, ca, "comes-late"))
    assert code_of(late.get()) == (403, "device-expired")
    assert code_of(late.announce()) == (403, "device-expired")
    new = Enrolling(late.address, Pair(certificate_of(late.enrol()), late.key))
    eventually(lambda: new.get().status == 200)
    assert code_of(late.enrol()) == (403, "device-key-replaced")
    renewed = [event for event in audited(owner.server) if event["kind"] == "device:renewed"]
    assert [event["details"]["expired-days"] for event in renewed if event["subject"] == "comes-late"] == ["2"]


@pytest.mark.usefixtures("allowed")
def test_a_device_that_keeps_its_key_is_back_at_once(owner: ApiOwner, ca: Pair) -> None:
    late = expired(ca, known(owner, ca, "keeps-its-key"))
    assert late.identity is not None
    late.key = late.identity.key
    assert late.renewed().get().status == 200


def test_without_the_owners_leave_it_is_refused_and_told_whom_to_ask(owner: ApiOwner, ca: Pair) -> None:
    late = expired(ca, known(owner, ca, "no-leave"))
    reply = late.enrol()
    assert code_of(reply) == (403, "recovery-not-allowed")
    assert "ownroot devices recovery" in reply.text


@pytest.mark.usefixtures("allowed")
def test_beyond_the_age_that_the_owner_allows_it_is_refused(owner: ApiOwner, ca: Pair) -> None:
    device = known(owner, ca, "much-too-late")
    assert code_of(expired(ca, device, days=31).enrol()) == (403, "recovery-too-late")
    assert expired(ca, device, days=30 - 1).enrol().status == 200


@pytest.mark.usefixtures("allowed")
def test_a_device_nobody_knows_is_refused(owner: ApiOwner, ca: Pair) -> None:
    device = Enrolling(owner.server.gateway_address, device_certificate(ca, "unheard-of", now=utc_now()))
    assert code_of(expired(ca, device).enrol()) == (403, "recovery-not-pinned")
    assert owner.server.call("GET", "/ota/devices/unheard-of/?factory=acme&by-uuid=1").status_code == 404


@pytest.mark.usefixtures("allowed")
def test_another_key_than_the_pinned_one_is_refused(owner: ApiOwner, ca: Pair) -> None:
    device = known(owner, ca, "has-a-twin")
    twin = Enrolling(device.address, device_certificate(ca, "has-a-twin", now=utc_now()))
    assert code_of(expired(ca, twin).enrol()) == (403, "device-key-mismatch")


@pytest.mark.usefixtures("allowed")
def test_an_announced_key_is_not_the_pinned_one(owner: ApiOwner, ca: Pair) -> None:
    device, coming = known(owner, ca, "announced-then-slept"), make_key()
    assert device.announce(coming).status == 200
    holder = Enrolling(device.address, device_certificate(ca, "announced-then-slept", key=coming, now=utc_now()))
    assert code_of(expired(ca, holder).enrol()) == (403, "recovery-not-pinned")


@pytest.mark.usefixtures("allowed")
def test_a_deleted_device_is_refused(owner: ApiOwner, ca: Pair) -> None:
    device = known(owner, ca, "deleted-then-late")
    assert owner.server.call("DELETE", "/ota/devices/deleted-then-late/?factory=acme").status_code == 204
    assert code_of(expired(ca, device).enrol()) == (403, "device-denied")


@pytest.mark.usefixtures("allowed")
def test_a_certificate_that_is_not_yet_valid_does_not_renew(owner: ApiOwner, ca: Pair) -> None:
    device = known(owner, ca, "lives-in-the-future")
    assert device.identity is not None
    start = utc_now() + timedelta(hours=3)
    early = device_certificate(ca, "lives-in-the-future", key=device.identity.key, not_before=start)
    reply = Enrolling(device.address, early).enrol()
    assert code_of(reply) == (403, "device-not-yet-valid")
    assert any(f"begins in {hours}" in reply.text for hours in ("3 h 0 min", "2 h 59 min"))


@pytest.mark.usefixtures("allowed")
def test_a_second_try_gets_the_same_certificate(owner: ApiOwner, ca: Pair) -> None:
    late = expired(ca, known(owner, ca, "loses-answers"))
    assert certificate_of(late.enrol()) == certificate_of(late.enrol())


def test_the_lane_is_shut_until_an_owner_opens_it(owner: ApiOwner) -> None:
    shown = owner.server.call("GET", PATH).json()
    assert (shown["factory"], shown["max-expired-days"]) == ("acme", 0)
    for days in (-1, 3651, "30"):
        assert owner.server.call("PUT", PATH, document={"max-expired-days": days}).status_code == 400
    reader = owner.server.create_token("certs:read", user="somebody")
    answer = owner.server.call("PUT", PATH, token=reader, document={"max-expired-days": 9})
    assert answer.status_code == 403
    assert owner.server.call("GET", PATH).json()["max-expired-days"] == 0
    set_days(owner, 9)
    shown = owner.server.call("GET", PATH).json()
    assert (shown["set-by"], shown["set-at"][-6:]) == (owner.server.owner_id, "+00:00")
    set_days(owner, 0)
    said = [event for event in audited(owner.server) if event["kind"] == "device:recovery-policy-set"]
    assert [event["details"]["max-expired-days"] for event in said[-2:]] == ["9", "0"]
