"""The gate between two answers of the feed: caches, ends, time that goes back."""

from datetime import datetime, timedelta

import pytest

from ownroot.customer.follower import StatusFollower
from ownroot.customer.gate import DeviceGate, DeviceStanding
from ownroot.errors import OwnrootError
from ownroot.pki.encoding import spki_sha256
from ownroot.wire.status_feed import FeedDevice
from tests.support.certificates import NOW, Pair, device_certificate
from tests.support.feed_backend import FACTORY, FeedBackend


class _World:
    def __init__(self) -> None:
        self.now = NOW
        self.elapsed = 0.0
        self.backend = FeedBackend()
        self.device = device_certificate(self.backend.ca, "d-1", FACTORY, now=NOW)
        self.backend.devices = (self.known(self.device),)
        self.follower = StatusFollower(self.backend, self.backend.pin, now=self.clock, ticks=lambda: self.elapsed)
        self.gate = DeviceGate(self.follower, now=self.clock)

    def clock(self) -> datetime:
        return self.now

    def known(self, device: Pair) -> FeedDevice:
        key = spki_sha256(device.certificate.public_key())  # type: ignore[arg-type]
        return FeedDevice(uuid="d-1", state="known", key=key.hex())

    def code(self, gate: DeviceGate | None = None) -> str:
        with pytest.raises(OwnrootError) as refused:
            (gate or self.gate).require_device(self.device.der)
        return refused.value.code

    def standing(self, gate: DeviceGate | None = None) -> DeviceStanding:
        return (gate or self.gate).require_device(self.device.der).standing


@pytest.fixture
def world() -> _World:
    return _World()


def test_nobody_is_let_in_before_the_first_answer_and_known_devices_after(world: _World) -> None:
    assert world.code() == "status-feed-missing"
    world.follower.refresh()
    assert world.standing() is DeviceStanding.KNOWN


def test_nobody_is_let_in_after_the_end_of_the_last_answer(world: _World) -> None:
    world.follower.refresh()
    world.now += timedelta(minutes=10)
    assert world.standing() is DeviceStanding.KNOWN
    world.now += timedelta(seconds=1)
    assert world.code() == "status-feed-expired"
    assert world.standing(DeviceGate(world.follower, grace_seconds=1, now=world.clock)) is DeviceStanding.KNOWN


def test_clock_that_is_set_back_keeps_no_answer_alive(world: _World) -> None:
    world.now = world.backend.now = NOW + timedelta(hours=2)
    world.follower.refresh()
    world.now -= timedelta(hours=1)
    with pytest.raises(OwnrootError, match="status-feed-future"):
        world.follower.refresh()  # every newer answer comes from the future of this clock
    world.elapsed = 600.0
    assert world.standing() is DeviceStanding.KNOWN
    world.elapsed = 600.1
    assert world.code() == "status-feed-expired"
    assert world.standing(DeviceGate(world.follower, grace_seconds=1, now=world.clock)) is DeviceStanding.KNOWN
    world.now = world.backend.now
    world.follower.refresh()
    assert world.standing() is DeviceStanding.KNOWN


def test_disable_acts_on_a_certificate_that_was_verified_before(world: _World) -> None:
    world.follower.refresh()
    assert world.standing() is DeviceStanding.KNOWN
    world.backend.standing = "disabled"
    world.follower.refresh()
    assert world.standing() is DeviceStanding.CA_DISABLED


def test_revocation_acts_on_a_certificate_that_was_verified_before(world: _World) -> None:
    world.follower.refresh()
    assert world.standing() is DeviceStanding.KNOWN
    world.backend.standing = "revoked"
    world.follower.refresh()
    assert world.code() == "device-ca-revoked"


@pytest.mark.parametrize(("state", "code"), [("denied", "device-denied"), ("gone", "device-not-known")])
def test_change_of_one_device_counts_at_once(world: _World, state: str, code: str) -> None:
    world.follower.refresh()
    world.backend.devices = (FeedDevice(uuid="d-1", state=state),)  # type: ignore[arg-type]
    world.follower.refresh()
    assert world.code() == code


def test_new_device_is_let_in_where_that_is_wanted(world: _World) -> None:
    world.backend.devices = ()
    world.follower.refresh()
    assert world.code() == "device-not-known"
    assert world.standing(DeviceGate(world.follower, admit_new=True, now=world.clock)) is DeviceStanding.NEW


def test_case_twin_of_a_known_device_is_refused(world: _World) -> None:
    world.follower.refresh()
    world.device = device_certificate(world.backend.ca, "D-1", FACTORY, now=NOW)
    assert world.code() == "device-uuid-case-twin"


def test_older_answer_is_not_used(world: _World) -> None:
    world.follower.refresh()
    world.backend.now -= timedelta(seconds=1)
    with pytest.raises(OwnrootError) as refused:
        world.follower.refresh()
    assert refused.value.code == "status-feed-older"


def test_forgotten_changes_lead_to_a_new_snapshot_that_forgets_what_is_gone(world: _World) -> None:
    world.follower.refresh()
    before = world.follower.fleet
    world.backend.devices, world.backend.remembers = (), False
    with pytest.raises(OwnrootError) as refused:
        world.follower.refresh()
    assert refused.value.code == "status-feed-moved"
    assert world.follower.fleet is before
