"""What a crash between "record" and "answer" leaves behind: intents without a certificate.

Nobody has the certificate of such an intent, for it never left, so it is voided for good and what it reserved is given
free. Recording a certificate for a voided intent fails, so a signer that was merely slow loses, never forks.
"""

from datetime import datetime

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.pki.serials import serial_text
from ownroot.services.device_reservations import undo_reservation
from ownroot.services.issue_own import SERVER
from ownroot.services.ports import Issuance, UnitOfWork


def recover_issuances(uow: UnitOfWork, *, recorded_before: datetime | None, now: datetime) -> int:
    """Void open intents, give back what they reserved, and return how many there were.

    Args:
        recorded_before: leave younger ones alone, somebody may be signing them; None takes all, which is right only
            where nobody else can be signing.
    """
    open_intents = [
        issuance
        for issuance in uow.issuances.open_intents()
        if recorded_before is None or issuance.intent.recorded_at < recorded_before
    ]
    for issuance in open_intents:
        uow.issuances.void(issuance.id)
        undo_reservation(uow, issuance)
        uow.audit.append(_voided(issuance, now))
    return len(open_intents)


def _voided(issuance: Issuance, now: datetime) -> AuditEvent:
    intent = issuance.intent
    details = {"profile": intent.profile, "subject-key": intent.subject_key, "recorded-by": intent.actor}
    serial = serial_text(intent.serial)
    return AuditEvent(intent.factory_id, now, SERVER, EventKind.CERTIFICATE_VOIDED, serial, details)
