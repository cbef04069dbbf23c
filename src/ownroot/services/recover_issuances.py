"""What a crash between "record" and "answer" leaves behind: intents without a certificate.

Nobody has the certificate of such an intent, for it never left, so it is voided for good and what it reserved is given
free. Recording a certificate for a voided intent fails, so a signer that was merely slow loses, never forks.
"""

from datetime import datetime, timedelta

from ownroot.audit.events import SERVER, AuditEvent, EventKind
from ownroot.pki.profiles import DEVICE
from ownroot.pki.serials import serial_text
from ownroot.services.device_reservations import undo_reservation
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Issuance, IssuanceIntent
from ownroot.services.renewal_reservations import RENEWAL_PROFILE

# Longer than any key store takes for one signature.
SIGNING_TIME = timedelta(minutes=2)


def recover_issuances(uow: UnitOfWork, *, alone: bool, now: datetime) -> int:
    """Void intents that nobody will finish, give back what they reserved, and return how many there were.

    Args:
        alone: no other process registers devices on this store, so every open intent of a device is a dead one.
            Otherwise only one older than any signature takes is. That always holds for certificates of our own,
            since the operator's commands sign those too.
    """
    abandoned = [issuance for issuance in uow.issuances.open_intents() if _is_abandoned(issuance.intent, alone, now)]
    for issuance in abandoned:
        uow.issuances.void(issuance.id)
        undo_reservation(uow, issuance)
        uow.audit.append(_voided(issuance, now))
    return len(abandoned)


def _is_abandoned(intent: IssuanceIntent, alone: bool, now: datetime) -> bool:
    return (alone and intent.profile in (DEVICE.name, RENEWAL_PROFILE)) or intent.recorded_at < now - SIGNING_TIME


def _voided(issuance: Issuance, now: datetime) -> AuditEvent:
    intent = issuance.intent
    details = {"profile": intent.profile, "subject-key": intent.subject_key, "recorded-by": intent.actor}
    serial = serial_text(intent.serial)
    return AuditEvent(intent.factory_id, now, SERVER, EventKind.CERTIFICATE_VOIDED, serial, details)
