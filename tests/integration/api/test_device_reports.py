"""What devices report, as the API shows it: who may look, pages, and what is not there."""

import pytest

from ownroot.clock import utc_now
from ownroot.services.ports import UnitOfWork
from ownroot.services.record_reports import newest_events, record_apps_state, record_document, record_events
from ownroot.services.report_ports import AppsState, Document, DocumentKind, ReportedEvent
from ownroot.storage import open_database
from tests.support.api_owner import code_of
from tests.support.device_csrs import device_csr
from tests.support.world import RunningServer

UUID = "11111111-2222-4333-8444-000000000001"
DEVICE = "/ota/devices/pump"


@pytest.fixture
def server(fresh: RunningServer) -> RunningServer:
    """The server as the owner of a factory with one device that has reported nothing."""
    document = {
        "csr": device_csr(UUID, factory=fresh.factory),
        "hardware-id": "amd64-linux",
        "uuid": UUID,
        "name": "pump",
    }
    assert fresh.call("POST", "/ota/devices/", document=document).status_code == 201
    return fresh


def report(server: RunningServer, *events: tuple[str, str, bool | None]) -> None:
    """Store a report of each kind, and these events: correlation id, kind, success."""
    now = utc_now()
    body = b'{"id":"%d","eventType":{"id":"x"},"event":{"correlationId":"c"}}'
    told = [
        ReportedEvent(f"event-{number}", name, kind, success, "lmp-7", "7", body % number)
        for number, (name, kind, success) in enumerate(events)
    ]

    def work(uow: UnitOfWork) -> None:
        factory = uow.factories.find(server.factory)
        assert factory is not None
        device = uow.devices.find(factory.id, UUID)
        assert device is not None
        record_events(uow, device, newest_events(told), now=now)
        record_apps_state(uow, device, AppsState(b'{"apps":{"a":{"state":"running"}}}', now))
        for kind, body in (
            (DocumentKind.HARDWARE, b'[{"id":"board"}]'),
            (DocumentKind.NETWORK, b'{"hostname":7,"mac":"00:11"}'),
            (DocumentKind.SETTINGS, b"[tls]\n"),
        ):
            record_document(uow, device, Document(kind, body, now))

    database = open_database(server.data_dir / "ownroot.db")
    try:
        database.write(work).result()
    finally:
        database.close()


def test_device_that_reported_nothing_has_empty_lists_and_null_members(server: RunningServer) -> None:
    assert server.call("GET", f"{DEVICE}/updates/").json() == {"updates": [], "total": 0, "next": None}
    assert server.call("GET", f"{DEVICE}/apps-states/").json() == {"apps-states": []}
    assert server.call("GET", f"{DEVICE}/tests/").json() == {"tests": [], "total": 0, "next": None}
    shown = server.call("GET", f"{DEVICE}/").json()
    members = ("status", "current-update", "up-to-date", "network-info", "hardware-info", "apps-state")
    assert [shown[member] for member in members] == [None] * 6


# Events, then status, current-update and up-to-date of the device.
Told = list[tuple[str, str, bool | None]]
STANDINGS: list[tuple[Told, str | None, str | None, bool | None]] = [
    ([("u-1", "EcuDownloadStarted", None)], "Updating", "u-1", False),
    ([("u-1", "EcuInstallationCompleted", True)], "OK", None, True),
    ([("u-1", "EcuInstallationCompleted", False)], "Update failed", None, False),
    ([("u-1", "EcuInstallationCompleted", True), ("certs-2", "CertRotationStarted", True)], "OK", None, True),
    ([("certs-2", "CertRotationStarted", True)], None, None, None),
]


@pytest.mark.parametrize(("events", "status", "current", "up_to_date"), STANDINGS)
def test_device_shows_how_its_last_update_went(
    server: RunningServer, events: Told, status: str | None, current: str | None, up_to_date: bool | None
) -> None:
    report(server, *events)
    shown = server.call("GET", f"{DEVICE}/").json()
    assert (shown["status"], shown["current-update"], shown["up-to-date"]) == (status, current, up_to_date)
    assert shown["network-info"] == {"hostname": None, "local_ipv4": None, "mac": "00:11"}
    assert shown["hardware-info"] == [{"id": "board"}]
    assert (shown["aktualizr-toml"], shown["apps-state"]["apps"]) == ("[tls]\n", {"a": {"state": "running"}})


def test_pages_of_updates_follow_one_another_by_absolute_address(server: RunningServer) -> None:
    report(server, *((f"u-{number}", "UpdateInitStarted", None) for number in range(3)))
    asked = f"{DEVICE}/updates/?factory={server.factory}&limit=2"
    first = server.call("GET", asked).json()
    assert [one["correlation-id"] for one in first["updates"]] == ["u-2", "u-1"]
    assert (first["total"], first["next"]) == (3, f"{server.api_url}{asked}&page=2")
    second = server.call("GET", first["next"].removeprefix(server.api_url)).json()
    assert ([one["correlation-id"] for one in second["updates"]], second["next"]) == (["u-0"], None)
    (event,) = server.call("GET", f"{DEVICE}/updates/u-1/").json()
    assert (event["id"], event["event"]["correlationId"]) == ("1", "c")


# Path, status, code; each differs in one detail from one that is answered.
REFUSED = [
    (f"{DEVICE}/updates", 404, "no-such-path"),
    (f"{DEVICE}/tests/x/", 404, "no-such-path"),
    (f"{DEVICE}/updates/u-9/", 404, "update-unknown"),
    (f"{DEVICE}/tests/x", 404, "test-unknown"),
    (f"{DEVICE}/tests/x/a.txt", 404, "test-unknown"),
    (f"{DEVICE}/updates/?by-uuid=1", 404, "device-unknown"),
    (f"{DEVICE}/tests/?factory=other", 403, "wrong-factory"),
    ("/ota/devices/nobody/apps-states/", 404, "device-unknown"),
]


@pytest.mark.parametrize(("path", "status", "code"), REFUSED)
def test_what_is_not_there_is_named(server: RunningServer, path: str, status: int, code: str) -> None:
    report(server, ("u-1", "UpdateInitStarted", None))
    assert code_of(server.call("GET", path)) == (status, code)


@pytest.mark.parametrize("path", ["updates/", "updates/u-1/", "apps-states/", "tests/"])
def test_reports_want_the_scope_to_read_devices(server: RunningServer, path: str) -> None:
    report(server, ("u-1", "UpdateInitStarted", None))
    poor, rich = server.create_token("devices:delete"), server.create_token("devices:read")
    assert code_of(server.call("GET", f"{DEVICE}/{path}", token=poor)) == (403, "scope-missing")
    assert server.call("GET", f"/ota/devices/{UUID}/{path}?by-uuid=1", token=rich).status_code == 200


def test_another_factory_sees_nothing(server: RunningServer) -> None:
    report(server, ("u-1", "UpdateInitStarted", None))
    other = server.for_factory(f"{server.factory}-other")
    assert code_of(other.call("GET", f"/ota/devices/{UUID}/updates/?by-uuid=1")) == (404, "device-unknown")
