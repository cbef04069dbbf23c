"""Shapes of what devices report (protocol: gateway.md §6.6-6.9) and of how owners read it (api.md §5).

Devices of the field stop working for less than an odd report, so parsing is forgiving where the page says so: an event
that is none is left out, texts that are too long are cut. Whatever remains is bounded.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.wire.documents import read_document

MAX_DETAILS_BYTES = 2048
MAX_NAME_LENGTH = 256
MAX_DEPTH = 64
_is_event_id = re.compile(r"[!-~]{1,64}").fullmatch
_is_correlation_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """What happened; `id` is free text."""

    id: str
    version: int = 0


class EventDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`success` null: the device does not say. `version` is text on the wire."""

    correlation_id: str
    success: bool | None = None
    target_name: str = ""
    version: str = ""
    details: str = ""
    ecu: str = ""


class EventObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One event. `device_time` is what the device's clock said."""

    id: str
    device_time: str = ""
    event_type: EventType
    event: EventDetails


class UpdateObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A group of events of one device; `status` (ours) is running, completed or failed."""

    correlation_id: str
    target: str
    version: str
    time: str
    status: str | None = None


class UpdateList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of updates, newest first; `next` is an absolute URL or null."""

    updates: tuple[UpdateObject, ...]
    total: int
    next: str | None = None


class AppsStates(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The newest reports of running apps, newest first, as the device wrote them."""

    apps_states: tuple[dict[str, Any], ...]


class DeviceTestStart(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a device says when an action begins; an empty `test_id` asks for one."""

    name: str
    target: str = ""
    test_id: str = ""


class DeviceTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a test."""

    name: str
    status: str
    details: str = ""


class DeviceTestEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says when an action has ended."""

    status: str
    details: str = ""
    artifacts: tuple[str, ...] = ()
    results: tuple[DeviceTestResult, ...] = ()


class ArtifactTarget(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Where a device shall put an artifact, and what it shall call its content."""

    url: str
    content_type: str


class DeviceTestObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A test as owners see it; times are Unix seconds. `target` (ours) is what the device ran."""

    name: str
    test_id: str
    device_uuid: str
    device_name: str
    status: str
    details: str
    created_on: float
    completed_on: float | None
    results: tuple[DeviceTestResult, ...] = ()
    artifacts: tuple[str, ...] = ()
    target: str | None = None


class DeviceTestList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of tests, newest first; `next` is an absolute URL or null."""

    tests: tuple[DeviceTestObject, ...]
    total: int
    next: str | None = None


def parse_events(body: bytes) -> list[EventObject]:
    """Read an array of events and leave out what is no event.

    Raises:
        InvalidInputError: `events-not-an-array`, the body as a whole is no JSON array.
    """
    try:
        entries = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidInputError("events-not-an-array", "The body must be a JSON array of events.") from exc
    return [event for event in map(_parse_event, entries) if event is not None]


def parse_test_start(body: bytes) -> DeviceTestStart:
    """Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`, `test-name`."""
    start = read_document(body, DeviceTestStart)
    if not start.name or len(start.name) > MAX_NAME_LENGTH or not start.name.isprintable():
        raise InvalidInputError("test-name", f"A test's name has 1 to {MAX_NAME_LENGTH} printable characters.")
    return start


def parse_test_end(body: bytes) -> DeviceTestEnd:
    """Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, DeviceTestEnd)


def parse_report(body: bytes) -> object:
    """Read a JSON document of a device's own shape and find out that we can show it to owners.

    Raises:
        InvalidInputError: `report-unreadable`, it is no JSON, nested too deeply, or holds numbers beyond 64 bits.
    """
    try:
        document: object = msgspec.json.decode(body)
        # What we read we must be able to write again, from wherever in a reply it will stand.
        msgspec.json.encode(document)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as exc:
        raise _unreadable() from exc
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return document
    raise _unreadable()


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _unreadable() -> InvalidInputError:
    return InvalidInputError(
        "report-unreadable", f"The body must be JSON, at most {MAX_DEPTH} levels deep, with numbers of 64 bits."
    )


def storable(text: str, most_bytes: int) -> str:
    """Cut a device's text to so many bytes of UTF-8, and take out NUL, which PostgreSQL does not hold."""
    encoded = text.replace("\0", "").encode("utf-8", "backslashreplace")
    return encoded[:most_bytes].decode("utf-8", "ignore")


def _parse_event(entry: msgspec.Raw) -> EventObject | None:
    try:
        event = msgspec.json.decode(entry, type=EventObject)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    told = event.event
    if _is_event_id(event.id) is None or _is_correlation_id(told.correlation_id) is None or not event.event_type.id:
        return None
    return EventObject(
        id=event.id,
        device_time=storable(event.device_time, 64),
        event_type=EventType(id=storable(event.event_type.id, MAX_NAME_LENGTH), version=event.event_type.version),
        event=EventDetails(
            correlation_id=told.correlation_id,
            success=told.success,
            target_name=storable(told.target_name, MAX_NAME_LENGTH),
            version=storable(told.version, 64),
            details=storable(told.details, MAX_DETAILS_BYTES),
            ecu=storable(told.ecu, MAX_NAME_LENGTH),
        ),
    )
