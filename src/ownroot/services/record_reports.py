"""Keep what a device reports about itself: its hardware, network and settings, its apps, its events.

A report that says nothing new writes nothing; each is checked for that in a read transaction first, so that devices
which repeat themselves cost no commit. A device that was deleted meanwhile, or has another key by now, stores nothing.
"""

from collections.abc import Sequence
from datetime import datetime

from ownroot.errors import RefusedError
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Device
from ownroot.services.report_ports import MAX_EVENTS_PER_UPDATE, MAX_UPDATES, AppsState, Document, ReportedEvent
from ownroot.services.update_progress import begin_update, follow_events


def require_reporter(uow: UnitOfWork, device: Device) -> int:
    """Return the number of a device's reports.

    Raises:
        RefusedError: `device-gone`.
    """
    reporter = uow.reporters.find(device)
    if reporter is None:
        raise RefusedError("device-gone", "This device was deleted or given another key meanwhile. Nothing was stored.")
    return reporter


def is_same_document(uow: UnitOfWork, device: Device, document: Document) -> bool:
    """Is this very document stored already? Raises as `require_reporter`."""
    stored = uow.documents.find(require_reporter(uow, device), document.kind)
    return stored is not None and stored.body == document.body


def record_document(uow: UnitOfWork, device: Device, document: Document) -> None:
    """Store a document in place of the last one. Raises as `require_reporter`."""
    uow.documents.put(require_reporter(uow, device), document)


def is_same_apps_state(uow: UnitOfWork, device: Device, state: AppsState) -> bool:
    """Is this very report the newest one already? Raises as `require_reporter`."""
    return _is_newest(uow, require_reporter(uow, device), state)


def record_apps_state(uow: UnitOfWork, device: Device, state: AppsState) -> None:
    """Append a report of running apps unless it repeats the newest. Raises as `require_reporter`."""
    reporter = require_reporter(uow, device)
    if not _is_newest(uow, reporter, state):
        uow.documents.add_apps_state(reporter, state)


def newest_events(events: Sequence[ReportedEvent]) -> dict[str, list[ReportedEvent]]:
    """Group events by correlation id and leave out, before anything is asked of the store, what would not be kept."""
    groups: dict[str, list[ReportedEvent]] = {}
    for event in events:
        groups.setdefault(event.correlation_id, []).append(event)
    return {name: groups[name][-MAX_EVENTS_PER_UPDATE:] for name in list(groups)[-MAX_UPDATES:]}


def record_events(uow: UnitOfWork, device: Device, groups: dict[str, list[ReportedEvent]], *, now: datetime) -> None:
    """Append the events of `newest_events` that are not known yet. Raises as `require_reporter`."""
    reporter = require_reporter(uow, device)
    for correlation_id, events in groups.items():
        known = uow.updates.known_events(reporter, [event.id for event in events])
        fresh = {event.id: event for event in events if event.id not in known}
        if fresh:
            update = uow.updates.find(reporter, correlation_id) or begin_update(correlation_id, now=now)
            added = list(fresh.values())
            uow.updates.put(reporter, follow_events(update, added, now=now), added)


def _is_newest(uow: UnitOfWork, reporter: int, state: AppsState) -> bool:
    stored = uow.documents.apps_states(reporter)
    return bool(stored) and stored[0].body == state.body
