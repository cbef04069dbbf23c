"""The ASGI wrapper: what reaches the application, and what comes back when nothing does."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote

from ownroot.customer import AsgiDevices, DeviceGate, Front, StatusFollower
from ownroot.pki.encoding import spki_sha256
from ownroot.wire.status_feed import FeedDevice
from tests.support.certificates import NOW, device_certificate
from tests.support.feed_backend import FACTORY, FeedBackend

_BACKEND = FeedBackend()
_DEVICE = device_certificate(_BACKEND.ca, "d-1", FACTORY, now=NOW)
_BACKEND.devices = (
    FeedDevice(uuid="d-1", state="known", key=spki_sha256(_DEVICE.certificate.public_key()).hex()),  # type: ignore[arg-type]
)
_HEADER = (b"x-device-certificate", quote(_DEVICE.pem).encode())


def _ask(front: Front, *headers: tuple[bytes, bytes], **scope: Any) -> tuple[list[Any], list[Any]]:
    """Return what the application was given and what was sent."""
    given: list[Any] = []
    sent: list[Any] = []

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        given.append(scope)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    follower = StatusFollower(_BACKEND, _BACKEND.pin, now=lambda: NOW)
    follower.refresh()
    wrapped = AsgiDevices(application, DeviceGate(follower, now=lambda: NOW), front=front)
    whole = {"type": "http", "client": ("10.0.0.1", 1), "headers": list(headers)} | scope
    asyncio.run(wrapped(whole, None, send))  # type: ignore[arg-type]
    return given, sent


def test_application_sees_the_device_and_not_the_header() -> None:
    given, _ = _ask(Front.at("10.0.0.1"), _HEADER, (b"accept", b"*/*"))
    assert given[0]["device"].uuid == "d-1"
    assert given[0]["headers"] == [(b"accept", b"*/*")]


def test_header_of_somebody_else_proves_nothing() -> None:
    given, sent = _ask(Front.at("10.0.0.2"), _HEADER)
    assert not given
    assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (401, "client-certificate-missing")


def test_second_spelling_beside_the_fronts_own_is_refused() -> None:
    given, sent = _ask(Front.at("10.0.0.1"), _HEADER, (b"x_device_certificate", b"x"))
    assert not given
    assert json.loads(sent[1]["body"])["code"] == "front-header-repeated"


def test_server_with_the_tls_extension_needs_no_front() -> None:
    given, _ = _ask(Front(), extensions={"tls": {"client_cert_chain": [_DEVICE.pem]}})
    assert given[0]["device"].uuid == "d-1"


def test_web_socket_of_a_stranger_is_closed() -> None:
    given, sent = _ask(Front(), type="websocket")
    assert not given
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "client-certificate-missing"}]


def test_lifespan_passes() -> None:
    assert _ask(Front(), type="lifespan")[0]
