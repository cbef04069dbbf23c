"""Issuing certificates of the backend's own (shared root, shared online CA, gateway TLS): record, sign, then store.

Device certificates have a path of their own (`register_device`), since one commit must also decide who gets the uuid.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ownroot.audit.events import SERVER
from ownroot.errors import OwnrootError
from ownroot.pki.encoding import certificate_sha256, sha256
from ownroot.pki.issuance import Plan, sign_plan
from ownroot.pki.signer import PrivateKey
from ownroot.services.records import IssuanceIntent
from ownroot.services.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is recorded of a certificate of our own before it is signed.

    Args:
        factory_id: None for the shared PKI's own certificates.
        issuer: the signing certificate; None for a self-signed one.
        subject_key: what the certificate is for: a gateway name, or the name of a CA.
        request: what was asked for, for its hash (a CSR in DER, or the signed part itself).
    """

    factory_id: int | None
    issuer: x509.Certificate | None
    subject_key: str
    request: bytes
    now: datetime


def sign_recorded(plan: Plan, key: PrivateKey, errand: Errand) -> Steps[tuple[int, x509.Certificate]]:
    """Commit the intent, then sign.

    Returns: the intent's id and the certificate; the caller records it in the transaction that takes it into use.
    """
    contents = plan.contents
    intent = IssuanceIntent(
        factory_id=errand.factory_id,
        # A root has no issuer but itself, and no certificate to hash before it is signed.
        issuer_sha256=sha256(plan.signed_part) if errand.issuer is None else certificate_sha256(errand.issuer),
        serial=contents.serial,
        profile=contents.profile.name,
        subject_key=errand.subject_key,
        spki_sha256=sha256(contents.spki_der),
        request_sha256=sha256(errand.request),
        actor=SERVER,
        recorded_at=errand.now,
    )
    intent_id: int = yield lambda uow: uow.issuances.record_intent(intent)
    try:
        return intent_id, sign_plan(plan, key)
    except OwnrootError:
        yield lambda uow: uow.issuances.void(intent_id)
        raise
