"""The customer's API while its backend is away: known devices go on until the last answer ends, then nobody does."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from ownroot.client.access import ApiAccess
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.customer import DeviceGate, FeedPin, StatusFollower
from ownroot.customer.gate import DeviceStanding
from ownroot.errors import OwnrootError
from tests.support.api_owner import ApiOwner, accept
from tests.support.certificates import Pair
from tests.support.customer_api import wait_for
from tests.support.relay import Fault, Instead, Relay, Spoil, relay_to
from tests.support.world import RunningServer, running_server

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def base_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), workers=1, factory=None) as server:
        yield server


@dataclass(slots=True)
class Following:
    """A gate whose follower asks a real server through a relay, ten times a second."""

    owner: ApiOwner
    relay: Relay
    follower: StatusFollower
    later: timedelta = field(default_factory=timedelta)

    def gate(self) -> DeviceGate:
        return DeviceGate(self.follower, now=self.now)

    def now(self) -> datetime:
        return utc_now() + self.later

    def since(self) -> list[int | None]:
        """Return the generation each question named so far; None for a page of a snapshot."""
        asked = [parse_qs(urlsplit(request.path).query).get("since") for request in list(self.relay.requests)]
        return [None if since is None else int(since[0]) for since in asked]

    def wait_for_requests(self, count: int) -> None:
        there = len(self.relay.requests)
        wait_for(lambda: len(self.relay.requests) >= there + count)


@pytest.fixture
def following(base_server: RunningServer) -> Iterator[Following]:
    with _following(base_server.for_factory(f"acme-{next(_numbers)}")) as made:
        yield made


@contextmanager
def _following(server: RunningServer) -> Iterator[Following]:
    owner = ApiOwner(server)
    owner.take_over()
    pin = FeedPin(owner.root.certificate, server.factory, owner.gateway_name)
    with relay_to(server.api_url) as relay:
        access = ApiAccess(url=relay.url, factory=server.factory, token=server.owner_token)
        with Api(access) as api, StatusFollower(api, pin, interval_seconds=0.1) as follower:
            yield Following(owner, relay, follower)


def known(following: Following, uuid: str) -> Pair:
    device = following.owner.register_pair(uuid)
    wait_for(lambda: code(following.gate(), device) == DeviceStanding.KNOWN)
    return device


def code(gate: DeviceGate, device: Pair) -> str:
    """Return how a device stands, or the code of its refusal."""
    try:
        return gate.require_device(device.der).standing
    except OwnrootError as error:
        return error.code


def away(fault: Fault | Instead) -> Spoil:
    return lambda _request: fault


@pytest.mark.parametrize(
    "fault",
    [Fault.LOST_ON_THE_WAY, Fault.ANSWER_LOST, Fault.GARBAGE, Instead(503), Instead(200, b"{}"), Instead(401)],
    ids=["lost", "answer-lost", "not-http", "503", "no-feed", "401"],
)
def test_known_device_goes_on_through_an_outage_until_the_last_answer_ends(
    following: Following, fault: Fault | Instead
) -> None:
    device = known(following, "d-1")
    following.relay.spoil = away(fault)
    following.wait_for_requests(3)
    assert code(following.gate(), device) == DeviceStanding.KNOWN
    following.later = timedelta(minutes=9)
    assert code(following.gate(), device) == DeviceStanding.KNOWN
    following.later = timedelta(minutes=10, seconds=5)
    assert code(following.gate(), device) == "status-feed-expired"


def test_after_an_outage_it_learns_what_happened_meanwhile_by_itself_and_reads_nothing_twice(
    following: Following,
) -> None:
    deleted, neighbour = known(following, "d-1"), known(following, "d-2")
    server = following.owner.server
    following.relay.spoil = away(Fault.LOST_ON_THE_WAY)
    following.wait_for_requests(2)
    accept(server.call("DELETE", f"/ota/devices/d-1/?factory={server.factory}"))
    late = following.owner.register_pair("d-3")
    following.wait_for_requests(2)
    assert code(following.gate(), deleted) == DeviceStanding.KNOWN
    assert code(following.gate(), late) == "device-not-known"
    following.relay.spoil = lambda _request: None
    wait_for(lambda: code(following.gate(), deleted) == "device-denied")
    assert code(following.gate(), late) == code(following.gate(), neighbour) == DeviceStanding.KNOWN
    following.wait_for_requests(2)
    questions = following.since()
    # A snapshot when it began, known devices and denied ones; then only what came since, never from further back.
    assert questions[:2] == [None, None]
    generations = [since for since in questions[2:] if since is not None]
    assert len(generations) == len(questions) - 2
    assert generations == sorted(generations)
    assert following.follower.fleet is not None
    assert generations[-1] == following.follower.fleet.generation


def test_feed_that_was_held_back_does_not_bring_a_deleted_device_back(following: Following) -> None:
    device = known(following, "d-1")
    server = following.owner.server
    path = f"/ota/factories/{server.factory}/status-feed/"
    old = server.call("GET", path).content
    accept(server.call("DELETE", f"/ota/devices/d-1/?factory={server.factory}"))
    wait_for(lambda: code(following.gate(), device) == "device-denied")
    following.relay.spoil = away(Instead(200, old))
    following.wait_for_requests(3)
    assert code(following.gate(), device) == "device-denied"
