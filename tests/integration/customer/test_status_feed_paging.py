"""The status feed of a fleet larger than its pages and its memory, followed over HTTP."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from ownroot.client.access import ApiAccess
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.customer import FeedPin, StatusFollower
from ownroot.errors import UnavailableError
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import UnitOfWork
from ownroot.services.read_status_feed import MAX_CHANGES, PAGE_DEVICES
from ownroot.services.records import ChangeKind, DeniedDevice, Device
from ownroot.storage import open_database
from tests.support.api_owner import ApiOwner
from tests.support.relay import Fault, Relay, relay_to
from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="module")
def base_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), workers=1, factory=None) as server:
        yield server


class Fleets:
    """A factory with more devices than anybody registers in a test: rows written into the running server's database."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.owner = ApiOwner(server)
        self.owner.take_over()

    @property
    def pin(self) -> FeedPin:
        return FeedPin(self.owner.root.certificate, self.server.factory, self.owner.gateway_name)

    def forget(self, count: int) -> None:
        """Delete the first devices without announcing it."""

        def work(uow: UnitOfWork, factory: int) -> None:
            for number in range(count):
                uow.devices.delete(factory, f"fleet-{number:05}")

        self.write(work)

    def write(self, work: Callable[[UnitOfWork, int], None]) -> None:
        database = open_database(self.server.data_dir / "ownroot.db")
        try:
            database.write(lambda uow: work(uow, self._factory_id(uow))).result()
        finally:
            database.close()

    def add(self, count: int) -> set[str]:
        """Make devices known, without announcing them; returns their uuids."""
        uuids = [f"fleet-{number:05}" for number in range(count)]

        def work(uow: UnitOfWork, factory: int) -> None:
            for uuid in uuids:
                uow.devices.add(_row(factory, uuid))

        self.write(work)
        return set(uuids)

    def deny(self, count: int) -> set[str]:
        uuids = [f"gone-{number:05}" for number in range(count)]

        def work(uow: UnitOfWork, factory: int) -> None:
            for uuid in uuids:
                denied = DeniedDevice(factory, DeviceUuid(uuid), uuid, "0" * 24, bytes(32), utc_now(), "0" * 24)
                uow.devices.deny(denied)

        self.write(work)
        return set(uuids)

    def announce(self, uuids: set[str]) -> None:
        """Say that these devices changed."""

        def work(uow: UnitOfWork, factory: int) -> None:
            for uuid in sorted(uuids):
                uow.changes.announce(ChangeKind.DEVICE, factory, DeviceUuid(uuid))

        self.write(work)

    @contextmanager
    def relayed(self) -> Iterator[tuple[Api, Relay]]:
        with relay_to(self.server.api_url) as relay:
            access = ApiAccess(url=relay.url, factory=self.server.factory, token=self.server.owner_token)
            with Api(access) as api:
                yield api, relay

    def _factory_id(self, uow: UnitOfWork) -> int:
        factory = uow.factories.find(self.server.factory)
        assert factory is not None
        return factory.id


def _row(factory_id: int, uuid: str) -> Device:
    digest = hashlib.sha256(f"{factory_id} {uuid}".encode()).digest()
    return Device(
        factory_id=factory_id,
        uuid=DeviceUuid(uuid),
        name=uuid,
        owner="0" * 24,
        spki_der=digest,
        spki_sha256=digest,
        production=False,
        issuer_sha256=bytes(32),
        issuer_serial=1,
        created_at=utc_now(),
    )


_numbers = itertools.count(1)


@pytest.fixture
def fleet(base_server: RunningServer) -> Fleets:
    return Fleets(base_server.for_factory(f"acme-{next(_numbers)}"))


def known_in(follower: StatusFollower, uuids: set[str]) -> int:
    assert follower.fleet is not None
    return sum(follower.fleet.find(uuid) is not None for uuid in uuids)


def denied_in(follower: StatusFollower, uuids: set[str]) -> int:
    assert follower.fleet is not None
    return sum(follower.fleet.is_denied(uuid) for uuid in uuids)


def asked(relay: Relay) -> list[str]:
    """Return the questions since the last look, in order: `since`, or where a page begins."""
    queries = [parse_qs(urlsplit(request.path).query) for request in relay.requests]
    relay.requests.clear()
    return ["since" if "since" in query else query.get("after", ["begin"])[0].partition("/")[0] for query in queries]


@pytest.mark.parametrize("more", [0, 1])
def test_snapshot_of_full_pages_holds_every_device_once(fleet: Fleets, more: int) -> None:
    known, denied = fleet.add(2 * PAGE_DEVICES + more), fleet.deny(PAGE_DEVICES + more)
    with fleet.relayed() as (api, relay):
        follower = StatusFollower(api, fleet.pin)
        follower.refresh()
        questions = asked(relay)
    assert (known_in(follower, known), denied_in(follower, denied)) == (len(known), len(denied))
    assert denied_in(follower, known) == known_in(follower, denied) == 0
    assert questions == ["begin", "known", "known", "denied", "denied", "since"]


def test_page_that_is_missing_makes_no_fleet(fleet: Fleets) -> None:
    fleet.add(PAGE_DEVICES + 1)
    with fleet.relayed() as (api, relay):
        follower = StatusFollower(api, fleet.pin)
        relay.spoil_once("GET", "after=", Fault.LOST_ON_THE_WAY)
        with pytest.raises(UnavailableError):
            follower.refresh()
        assert follower.fleet is None
        follower.refresh()
    assert follower.fleet is not None


@pytest.mark.parametrize(
    ("changed", "questions"),
    [(MAX_CHANGES, ["since"]), (MAX_CHANGES + 1, ["since", "known", "known", "denied", "since"])],
)
def test_one_change_more_than_the_most_is_answered_by_a_snapshot(
    fleet: Fleets, changed: int, questions: list[str]
) -> None:
    with fleet.relayed() as (api, relay):
        follower = StatusFollower(api, fleet.pin)
        follower.refresh()
        known = fleet.add(changed)
        fleet.announce(known)
        asked(relay)
        follower.refresh()
        assert asked(relay) == questions
    assert known_in(follower, known) == changed


def test_device_that_went_is_gone_from_the_snapshot_that_replaces_the_old_one(fleet: Fleets) -> None:
    known = fleet.add(MAX_CHANGES + 1)
    with fleet.relayed() as (api, _):
        follower = StatusFollower(api, fleet.pin)
        follower.refresh()
        before = follower.fleet
        fleet.forget(3)
        fleet.announce(known)
        follower.refresh()
    assert follower.fleet is not before
    assert known_in(follower, known) == len(known) - 3
