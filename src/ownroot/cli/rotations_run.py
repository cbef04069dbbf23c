"""The terminal side of `devices rotations`: who is between two keys, and why.

What a device says of its renewal is its own word; that its next key is pending is the gateway's.
"""

import msgspec

from ownroot.cli.devices_export import pages
from ownroot.cli.options import Target
from ownroot.cli.progress import progress_bar
from ownroot.client.api import Api
from ownroot.client.device_query import DeviceQuery
from ownroot.console.output import Output
from ownroot.console.text import counted, one_line
from ownroot.errors import NotFoundError
from ownroot.wire.device_reports import EventObject
from ownroot.wire.devices import DeviceObject

_STARTED = "CertRotationStarted"


class PendingRotation(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One device between two keys. `last_event` is null if it tells nothing of its renewals."""

    name: str
    uuid: str
    since: str
    last_seen: str | None
    last_event: EventObject | None
    reason: str


def show_rotations(target: Target, *, as_json: bool) -> None:
    """Fetch and show every rotation under way, the oldest first. Raises as `devices_export.pages`."""
    with Api(target.access()) as api, progress_bar(as_json=as_json) as progress:
        found: list[PendingRotation] = []
        for devices, left in pages(api, DeviceQuery(rotating=True)):
            total = len(found) + left
            for device in devices:
                found.append(_look(api, device))
                progress("rotations", len(found), total)
    pending = sorted(found, key=lambda one: one.since)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"rotations": pending})
        return
    for one in pending:
        output.line(f"{one_line(one.name)}: since {one.since}; {one_line(one.reason)}")
    output.note(f"{counted(len(pending), 'rotation')} under way.")


def _look(api: Api, device: DeviceObject) -> PendingRotation:
    shown = device if device.next_key else api.device(device.uuid, by_uuid=True)
    since = shown.next_key.announced_at if shown.next_key else ""
    event = _last_event(api, device.uuid)
    return PendingRotation(
        name=device.name or device.uuid,
        uuid=device.uuid,
        since=since,
        last_seen=device.last_seen,
        last_event=event,
        reason=_reason(device, since, event),
    )


def _last_event(api: Api, uuid: str) -> EventObject | None:
    """Return the newest event of the newest renewal that the device told of."""
    for update in api.updates(uuid, by_uuid=True).updates:
        try:
            events = api.update_events(uuid, update.correlation_id, by_uuid=True)
        except NotFoundError:
            continue  # newer ones took its place meanwhile
        if any(event.event_type.id == _STARTED for event in events):
            return events[-1]
    return None


def _reason(device: DeviceObject, since: str, event: EventObject | None) -> str:
    if event is not None and event.event.success is False:
        return f"{event.event_type.id!r} failed: {event.event.details or 'no reason given'}"
    if device.last_seen is None or device.last_seen <= since:
        return "not seen since it announced its next key"
    step = f", last step {event.event_type.id!r}" if event is not None else ""
    return f"it still comes with its present key{step}"
