"""How far an update has come, judged by the events a device sends. Pure.

An end is an end: later events of the same group change it only by starting anew or by another end. A failed step is a
failed update even where the device goes on to say that all is done: `CertRotationCompleted` says success whatever
happened before it (protocol: gateway.md §6.6).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from ownroot.services.report_ports import ReportedEvent, Update, UpdateState

_OTA_EVENTS: Final = frozenset(
    {
        "MetadataUpdateCompleted",
        "UpdateInitStarted",
        "UpdateInitCompleted",
        "EcuDownloadStarted",
        "EcuDownloadCompleted",
        "EcuInstallationStarted",
        "EcuInstallationApplied",
        "EcuInstallationCompleted",
    }
)
_STARTS: Final = frozenset({"UpdateInitStarted", "CertRotationStarted"})
_ENDS: Final = frozenset({"EcuInstallationCompleted", "CertRotationCompleted"})


def begin_update(correlation_id: str, *, now: datetime) -> Update:
    """Return a group nothing is known of yet."""
    return Update(0, correlation_id, "", "", False, UpdateState.RUNNING, now, now)


def follow_events(update: Update, events: Sequence[ReportedEvent], *, now: datetime) -> Update:
    """Return the group as it is after these events, which are new and in order."""
    for event in events:
        update = replace(
            update,
            target_name=event.target_name or update.target_name,
            version=event.version or update.version,
            is_ota=update.is_ota or event.kind in _OTA_EVENTS,
            state=_next(update.state, event),
        )
    return replace(update, last_at=max(now, update.last_at))


def _next(state: UpdateState, event: ReportedEvent) -> UpdateState:
    if event.kind in _STARTS:
        return UpdateState.RUNNING
    if event.success is False:
        return UpdateState.FAILED
    if event.kind in _ENDS and (state is UpdateState.RUNNING or event.kind in _OTA_EVENTS):
        return UpdateState.COMPLETED
    return state
