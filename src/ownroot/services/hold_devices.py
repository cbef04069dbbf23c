"""Hold devices whose certificate was issued between a backup and its restore, until the owner has looked at them.

The gateway asks here before a device is created or given another key; the rule itself is `trust.restores`. A held
device is stored durably before it is told so. It comes back every few minutes, so its entry is renewed once an hour at
most; where its list is full, nothing is written at all.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.pki.encoding import certificate_der
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, HeldDevice
from ownroot.trust.admission import Admission, Refuse
from ownroot.trust.device_identity import Identified
from ownroot.trust.restores import hold_back, may_be_held

_RENEWED_EVERY: Final = timedelta(hours=1)


def hold_what_came_since(uow: UnitOfWork, factory: Factory, identified: Identified, admission: Admission) -> Admission:
    """Return the admission, or `Hold` in its place (`trust.restores.hold_back`)."""
    if not may_be_held(admission):
        return admission
    windows = uow.restores.list()
    if not windows:
        return admission
    shown = certificate_der(identified.certificate)
    issued = uow.issuances.history(factory.id, identified.uuid, identified.spki_sha256)
    return hold_back(admission, identified, windows, is_logged=any(entry.certificate_der == shown for entry in issued))


def find_hold(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> Refuse | None:
    """Return what to tell a held device; None if `record_hold` has to store something first."""
    known = _entry(uow.held_devices.of_uuid(factory.id, identified.uuid), identified.spki_sha256)
    if known is None:
        return None
    if known.refused_at is not None:
        return Refuse(
            "device-held-refused",
            f"The owner of factory {factory.name} refused this key of device {identified.uuid} after the server was "
            "restored from a backup. To bring it back, delete what is known under this uuid and register it again.",
        )
    return None if now - known.last_at >= _RENEWED_EVERY else _waits(identified)


def record_hold(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> Refuse:
    """Put a device on the list for review, in a write transaction; returns what to tell it after the commit."""
    answer = find_hold(uow, factory, identified, now=now)
    if answer is not None:
        return answer
    is_new = _entry(uow.held_devices.of_uuid(factory.id, identified.uuid), identified.spki_sha256) is None
    if uow.held_devices.put(_held(factory, identified, now)) and is_new:
        details = {"issuer": str(identified.issuer.serial), "key": identified.spki_sha256.hex()}
        actor = device_actor(identified.uuid)
        uow.audit.append(AuditEvent(factory.id, now, actor, EventKind.DEVICE_HELD, identified.uuid, details))
    return _waits(identified)


def _entry(entries: Sequence[HeldDevice], spki_sha256: bytes) -> HeldDevice | None:
    return next((entry for entry in entries if entry.spki_sha256 == spki_sha256), None)


def _held(factory: Factory, identified: Identified, now: datetime) -> HeldDevice:
    return HeldDevice(
        factory_id=factory.id,
        uuid=identified.uuid,
        spki_sha256=identified.spki_sha256,
        certificate_der=certificate_der(identified.certificate),
        issuer_serial=identified.issuer.serial,
        owner=identified.issuer.owner_of_new_devices,
        first_at=now,
        last_at=now,
    )


def _waits(identified: Identified) -> Refuse:
    return Refuse(
        "device-held-for-review",
        f"The server was restored from a backup and does not remember this certificate of device {identified.uuid}, "
        f"which was issued since. The owner lets it in with `ownroot devices accept {identified.uuid}`.",
    )
