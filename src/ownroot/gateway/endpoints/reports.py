"""What devices report about themselves: POST /events, PUT /system_info..., POST /apps-states (gateway.md §6.6-6.8).

Content types are not looked at: devices send JSON's on TOML and on everything else (§4.2). An event we do not like is
left out and answered 200, since a device repeats a refused queue every ten seconds for ever (§5.2).
"""

from collections.abc import Callable, Mapping
from typing import Final

from ownroot.errors import InvalidInputError
from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.endpoints.routes import Handler, Route
from ownroot.gateway.responses import Response
from ownroot.gateway.store import Store
from ownroot.services.record_reports import (
    is_same_apps_state,
    is_same_document,
    newest_events,
    record_apps_state,
    record_document,
    record_events,
)
from ownroot.services.report_ports import AppsState, Document, DocumentKind, ReportedEvent
from ownroot.wire.device_reports import EventObject, parse_events, parse_report
from ownroot.wire.documents import write_document

_STORED: Final = Response(200)
# A queue that grew while the device was away must not be refused for its length, or it comes again for ever.
_EVENTS_BODY_BYTES: Final = 1024 * 1024
_HARDWARE_BODY_BYTES: Final = 256 * 1024


class ReportEndpoints:
    """Handlers of reports; each answers once the report is durable, or was known."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> dict[str, Route]:
        """Return the paths."""
        return {
            "/events": Route({"POST": self.add_events}, body_bytes=_EVENTS_BODY_BYTES),
            "/system_info": Route({"PUT": self._put(DocumentKind.HARDWARE)}, body_bytes=_HARDWARE_BODY_BYTES),
            "/system_info/network": Route({"PUT": self._put(DocumentKind.NETWORK)}),
            "/system_info/config": Route({"PUT": self._put(DocumentKind.SETTINGS)}),
            "/apps-states": Route({"POST": self.add_apps_state}),
        }

    async def add_events(self, call: DeviceCall) -> Response:
        """POST /events."""
        groups = newest_events([_reported(event) for event in parse_events(call.request.body)])
        if groups:
            await self._store.write(lambda uow: record_events(uow, call.device, groups, now=call.now))
        return _STORED

    async def add_apps_state(self, call: DeviceCall) -> Response:
        """POST /apps-states."""
        state = AppsState(call.request.body, call.now)
        if not await self._store.read(lambda uow: is_same_apps_state(uow, call.device, state)):
            _require_object(state.body)
            await self._store.write(lambda uow: record_apps_state(uow, call.device, state))
        return _STORED

    def _put(self, kind: DocumentKind) -> Handler:
        async def put(call: DeviceCall) -> Response:
            document = Document(kind, call.request.body, call.now)
            if not await self._store.read(lambda uow: is_same_document(uow, call.device, document)):
                _FORMS[kind](document.body)
                await self._store.write(lambda uow: record_document(uow, call.device, document))
            return _STORED

        return put


def _require_object(body: bytes) -> None:
    """Raises InvalidInputError `report-unreadable`, `report-not-an-object`."""
    if not isinstance(parse_report(body), dict):
        raise InvalidInputError("report-not-an-object", "The body must be a JSON object.")


def _require_text(body: bytes) -> None:
    """Settings are passed on to the owner as they are. Raises InvalidInputError `settings-not-text`."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidInputError("settings-not-text", "The settings must be text in UTF-8.") from exc


# What lists a machine's hardware prints an object or an array, so we take any JSON.
_FORMS: Final[Mapping[DocumentKind, Callable[[bytes], object]]] = {
    DocumentKind.HARDWARE: parse_report,
    DocumentKind.NETWORK: _require_object,
    DocumentKind.SETTINGS: _require_text,
}


def _reported(event: EventObject) -> ReportedEvent:
    told = event.event
    return ReportedEvent(
        id=event.id,
        correlation_id=told.correlation_id,
        kind=event.event_type.id,
        success=told.success,
        target_name=told.target_name,
        version=told.version,
        body=write_document(event),
    )
