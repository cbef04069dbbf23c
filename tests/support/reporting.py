"""Reports as devices of the field send them, and how a test reads back what was stored."""

import json
import ssl
from typing import Any

from ownroot.services.ports import UnitOfWork
from ownroot.services.report_ports import DeviceTest, DocumentKind, Update
from tests.support.gateway_world import BASE_NAME, GatewayWorld
from tests.support.tls_device import Device, Reply, exchange

COMMAND_ID = "reboot-1764165600_abc"


def send(connection: ssl.SSLSocket, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    """Send one request and read its answer."""
    return exchange(connection, request_bytes(method, path, body, **headers))


def request_bytes(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request with a body, called JSON as clients of the field do with everything."""
    fields = {"Host": BASE_NAME, "Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def send_as(world: GatewayWorld, uuid: str, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    """Connect as a new device of this uuid, and send one request."""
    with Device(identity=world.device(uuid)).connect(world.address) as connection:
        return send(connection, method, path, body, **headers)


def an_event(number: int = 1, kind: str = "UpdateInitStarted", **changes: Any) -> dict[str, Any]:
    """An event as clients write it; `changes` are members of its inner object."""
    told = {
        "correlationId": "update-1",
        "success": None,
        "targetName": "intel-corei7-64-lmp-7",
        "version": "7",
        "details": "step",
        "ecu": "",
    }
    return {
        "id": changes.pop("id", f"event-{number}"),
        "deviceTime": "2026-11-26T14:00:00Z",
        "eventType": {"id": kind, "version": 0},
        "event": told | changes,
    }


def events_body(*events: Any) -> bytes:
    return json.dumps(events).encode()


def updates_of(world: GatewayWorld, uuid: str) -> dict[str, tuple[Update, list[dict[str, Any]]]]:
    """What is stored of a device's events, newest group first."""

    def work(uow: UnitOfWork) -> dict[str, tuple[Update, list[dict[str, Any]]]]:
        found = uow.updates.list(reporter_of(world, uow, uuid))
        return {
            update.correlation_id: (update, [json.loads(body) for body in uow.updates.events(update)])
            for update in found
        }

    return world.database.read(work)


def document_of(world: GatewayWorld, uuid: str, kind: DocumentKind) -> bytes | None:
    """The document that is stored of a device."""

    def work(uow: UnitOfWork) -> bytes | None:
        found = uow.documents.find(reporter_of(world, uow, uuid), kind)
        return None if found is None else found.body

    return world.database.read(work)


def apps_states_of(world: GatewayWorld, uuid: str) -> list[bytes]:
    """The reports of apps that are stored of a device, newest first."""
    return world.database.read(
        lambda uow: [state.body for state in uow.documents.apps_states(reporter_of(world, uow, uuid))]
    )


def device_tests_of(world: GatewayWorld, uuid: str) -> dict[str, tuple[DeviceTest, dict[str, int | None]]]:
    """What is stored of a device's tests, with the sizes of their artifacts."""

    def work(uow: UnitOfWork) -> dict[str, tuple[DeviceTest, dict[str, int | None]]]:
        return {
            test.test_id: (test, {artifact.name: artifact.size_bytes for artifact in uow.tests.artifacts(test)})
            for test in uow.tests.list(reporter_of(world, uow, uuid))
        }

    return world.database.read(work)


def reporter_of(world: GatewayWorld, uow: UnitOfWork, uuid: str) -> int:
    device = uow.devices.find(world.acme.factory.id, uuid)
    assert device is not None
    reporter = uow.reporters.find(device)
    assert reporter is not None
    return reporter
