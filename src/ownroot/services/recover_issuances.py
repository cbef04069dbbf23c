"""What a crash between "record" and "answer" leaves behind: intents without a certificate.

Nobody has the certificate of such an intent, for it never left, so it is voided for good and what it reserved is given
free. Recording a certificate for a voided intent fails, so a signer that was merely slow loses, never forks.
"""

from datetime import datetime, timedelta

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.pki.profiles import DEVICE
from ownroot.pki.serials import serial_text
from ownroot.services.device_reservations import undo_reservation
from ownroot.services.issue_own import SERVER
from ownroot.services.ports import Issuance, UnitOfWork

# Longer than any key store takes for one signature.
SIGNING_TIME = timedelta(minutes=2)


def recover_issuances(uow: UnitOfWork, *, recorded_before: datetime | None, now: datetime) -> int:
    """Void intents that nobody will finish, give back what they reserved, and return how many there were.

    Args:
        recorded_before: leave younger intents of devices alone, somebody may be signing them; None takes all, which is
            right only where nobody else registers devices on this store. Certificates of our own are also signed by
            the operator's commands, so theirs are always given `SIGNING_TIME`.
    """
    abandoned = [issuance for issuance in uow.issuances.open_intents() if _is_abandoned(issuance, recorded_before, now)]
    for issuance in abandoned:
        uow.issuances.void(issuance.id)
        undo_reservation(uow, issuance)
        uow.audit.append(_voided(issuance, now))
    return len(abandoned)


def _is_abandoned(issuance: Issuance, recorded_before: datetime | None, now: datetime) -> bool:
    intent = issuance.intent
    if intent.profile != DEVICE.name:
        return intent.recorded_at < now - SIGNING_TIME
    return recorded_before is None or intent.recorded_at < recorded_before


def _voided(issuance: Issuance, now: datetime) -> AuditEvent:
    intent = issuance.intent
    details = {"profile": intent.profile, "subject-key": intent.subject_key, "recorded-by": intent.actor}
    serial = serial_text(intent.serial)
    return AuditEvent(intent.factory_id, now, SERVER, EventKind.CERTIFICATE_VOIDED, serial, details)
