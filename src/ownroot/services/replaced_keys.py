"""Keys that devices have replaced: refused everywhere, and reported when somebody comes with one.

After a promotion the device itself may make one last call with the old key. Whoever shows it later holds a copy of the
old identity, so each sight is counted with the refusals, and one an hour is an event of the audit log: a copy that
calls every few seconds must not fill it. Which sight puts the device under suspicion is for `fleet.clones` to say.
"""

from datetime import datetime, timedelta
from typing import Final

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.fleet.clones import CloneSign, is_old_key_of_a_copy
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import DeniedKey, Device, Factory
from ownroot.services.suspect_clones import suspect
from ownroot.trust.device_identity import Identified

_REPORTED_EVERY: Final = timedelta(hours=1)


def is_reported(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> bool:
    """Is there nothing to write about this key: no suspicion, and the audit log heard of it within the last hour?"""
    known = uow.denied_keys.find(factory.id, identified.spki_sha256)
    return known is None or (_was_reported(known, now) and _find_copied(uow, known) is None)


def report_replaced_key(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> None:
    """Write that a replaced key was shown, in a write transaction; nothing if that was reported already."""
    known = uow.denied_keys.find(factory.id, identified.spki_sha256)
    if known is None:
        return
    copied = _find_copied(uow, known)
    if copied is not None:
        detail = (
            f"The key it had until {known.denied_at:%Y-%m-%d %H:%M:%S} UTC came again after the device had gone on "
            "with its new one: somebody has a copy of the old key."
        )
        suspect(uow, copied, CloneSign.OLD_KEY, detail, now=now)
    if not _was_reported(known, now):
        _report(uow, known, identified, now)


def _was_reported(known: DeniedKey, now: datetime) -> bool:
    return known.shown_at is not None and now - known.shown_at < _REPORTED_EVERY


def _find_copied(uow: UnitOfWork, known: DeniedKey) -> Device | None:
    """Return the device that replaced the key, if that it comes now puts the device under suspicion."""
    device = uow.devices.find(known.factory_id, known.uuid)
    if device is None or device.suspicion is not None:
        return None
    is_sign = is_old_key_of_a_copy(
        replaced_at=known.denied_at,
        shown_at=known.shown_at,
        seen_at=device.last_seen,
        settled_at=device.released_at,
    )
    return device if is_sign else None


def _report(uow: UnitOfWork, known: DeniedKey, identified: Identified, now: datetime) -> None:
    uow.denied_keys.note_shown(known.factory_id, known.spki_sha256, at=now)
    details = {
        "key": known.spki_sha256.hex(),
        "replaced-by": known.uuid,
        "replaced-at": f"{known.denied_at:%Y-%m-%dT%H:%M:%SZ}",
        "issuer": str(identified.issuer.serial),
    }
    actor = device_actor(identified.uuid)
    uow.audit.append(AuditEvent(known.factory_id, now, actor, EventKind.DEVICE_OLD_KEY_SHOWN, identified.uuid, details))
