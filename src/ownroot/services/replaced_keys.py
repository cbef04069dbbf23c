"""Keys that devices have replaced: refused everywhere, and reported when somebody comes with one.

After a promotion the device itself may make one last call with the old key. Whoever shows it later holds a copy of the
old identity, so each sight is counted with the refusals, and one an hour is an event of the audit log: a copy that
calls every few seconds must not fill it.
"""

from datetime import datetime, timedelta
from typing import Final

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.trust.device_identity import Identified

_REPORTED_EVERY: Final = timedelta(hours=1)


def is_reported(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> bool:
    """Has the audit log heard of this key within the last hour?"""
    known = uow.denied_keys.find(factory.id, identified.spki_sha256)
    return known is None or (known.shown_at is not None and now - known.shown_at < _REPORTED_EVERY)


def report_replaced_key(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> None:
    """Write that a replaced key was shown, in a write transaction; nothing if that was reported already."""
    known = uow.denied_keys.find(factory.id, identified.spki_sha256)
    if known is None or is_reported(uow, factory, identified, now=now):
        return
    uow.denied_keys.note_shown(factory.id, known.spki_sha256, at=now)
    details = {
        "key": known.spki_sha256.hex(),
        "replaced-by": known.uuid,
        "replaced-at": f"{known.denied_at:%Y-%m-%dT%H:%M:%SZ}",
        "issuer": str(identified.issuer.serial),
    }
    actor = device_actor(identified.uuid)
    uow.audit.append(AuditEvent(factory.id, now, actor, EventKind.DEVICE_OLD_KEY_SHOWN, identified.uuid, details))
