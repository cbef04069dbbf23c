"""The two transactions around the signature of a device certificate, and how the first one is taken back.

`reserve` decides who may have the uuid and records the intent to sign; from then on unique constraints keep everybody
else away. `complete` makes the certificate count. Between the two anything may happen: the CA may be disabled, the
device deleted, the same request repeated, the process killed. Each of these closes the open intent, and a certificate
whose intent was closed is thrown away unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from cryptography import x509

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import ConflictError, RefusedError
from ownroot.pki.encoding import certificate_der, certificate_sha256, load_certificate_der
from ownroot.pki.names import read_subject
from ownroot.pki.profiles import DEVICE
from ownroot.pki.requests import DeviceCsr
from ownroot.pki.serials import Serial, serial_text
from ownroot.services.authority import DevicePass
from ownroot.services.device_conflicts import (
    require_no_name_of_another,
    require_no_uuid_of_another,
    superseded,
    uuid_taken,
)
from ownroot.services.device_groups import require_group
from ownroot.services.effective_pki import is_unclaimed
from ownroot.services.issuers import OnlineIssuer
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, Device, Factory, GroupRef, Issuance, IssuanceIntent, User
from ownroot.services.reregistration import Reregistration
from ownroot.trust.state import Standing


class Reason(StrEnum):
    """Why a certificate is issued; the audit log says it."""

    FIRST = "first"
    REPEATED = "repeated"
    TAKEN_OVER = "after-take-over"
    REPLACED = "key-replaced"


class Issuers(Protocol):
    """Gives the online device CA of a factory as it stands in a transaction."""

    def current(self, uow: UnitOfWork, factory: Factory) -> OnlineIssuer:
        """Raises RefusedError `no-online-ca`, `online-ca-disabled`; KeyStoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Applicant:
    """A device that proved its key and passed every check that needs no database.

    `device_pass`: the leave it came with, which is spent with the reservation; None: its token has no such bound.
    """

    factory: Factory
    csr: DeviceCsr
    name: str
    by: User
    request_sha256: bytes
    now: datetime
    group: str | None = None
    device_pass: DevicePass | None = None

    @property
    def spki_sha256(self) -> bytes:
        return self.csr.verified.spki_sha256


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered device: its certificate, the device CA that signed it, the root its gateway is verified by."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    root: x509.Certificate


@dataclass(frozen=True, slots=True)
class Claim:
    """What an applicant would get: the device's row under this issuer, and a certificate with this serial."""

    applicant: Applicant
    online: OnlineIssuer
    row: Device
    serial: Serial


@dataclass(frozen=True, slots=True)
class Reservation:
    """A uuid held for one applicant, with the intent to sign on record.

    `previous` is the row as it was, where the reservation took it over, or will when it is completed.
    """

    claim: Claim
    issuance_id: int
    reason: Reason
    lifts_denial: bool
    previous: Device | None
    reregister: Reregistration = Reregistration.REJECT


def reserve(
    uow: UnitOfWork, applicant: Applicant, issuers: Issuers, serial: Serial, reregister: Reregistration
) -> Reservation | Registered:
    """Hold the uuid and record the intent, or find that the certificate asked for exists already.

    Args:
        reregister: may another key replace that of a known device? It does so when the reservation is completed: until
            then the device goes on with the key it has, and a crash leaves it that.
    Raises:
        RefusedError, KeyStoreError: as `Issuers.current`; `token-spent`, on another key.
        InvalidInputError: `group-unknown`.
        ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-uuid-is-name`, `device-name-taken`,
            `device-key-taken`.
    """
    online = issuers.current(uow, applicant.factory)
    _spend_pass(uow, applicant)
    group = None if applicant.group is None else require_group(uow, applicant.factory, applicant.group).ref
    claim = Claim(applicant, online, _row(applicant, online, group), serial)
    try:
        uow.devices.add(claim.row)
    except ConflictError as conflict:
        is_known = conflict.code == "device-uuid-taken"
        known = uow.devices.find(claim.row.factory_id, claim.row.uuid) if is_known else None
        if known is None:
            raise
        return _reserve_known(uow, claim, known, reregister)
    require_no_uuid_of_another(uow, claim.row)
    require_no_name_of_another(uow, claim.row)
    return _record(uow, claim, Reason.FIRST)


def complete(uow: UnitOfWork, held: Reservation, certificate: x509.Certificate, issuers: Issuers) -> Registered:
    """Make the signed certificate count, or return the one of a twin request that was quicker.

    Raises:
        RefusedError, KeyStoreError: as `Issuers.current`; the CA lost its standing since the reservation.
        ConflictError: `issuer-replaced` (try again); `registration-superseded`, the device was deleted meanwhile, or
            another key was quicker; `device-uuid-taken`, it was seen meanwhile.
    """
    claim, row = held.claim, held.claim.row
    now_online = issuers.current(uow, claim.applicant.factory)
    if now_online is not claim.online and now_online.ca.certificate != claim.online.ca.certificate:
        raise ConflictError("issuer-replaced", "The online CA was replaced while it signed. Nothing was registered.")
    if held.reason is Reason.REPEATED and (quicker := _find_issued(uow, claim.applicant, claim.online)) is not None:
        uow.issuances.void(held.issuance_id)
        return quicker
    if held.reason is Reason.REPLACED and (quicker := _replace_key(uow, held)) is not None:
        return quicker
    try:
        uow.issuances.record_certificate(held.issuance_id, certificate_der(certificate))
    except ConflictError as exc:
        return _answer_of_twin(uow, claim, exc)
    if held.reason is Reason.REPEATED:
        _renew_row(uow, row)
    uow.ends.note_issued(row.factory_id, row.uuid, row.spki_sha256, not_after=certificate.not_valid_after_utc)
    if held.lifts_denial:
        uow.devices.lift_denial(row.factory_id, row.uuid)
        uow.audit.append(_event(claim, EventKind.DEVICE_DENIAL_LIFTED, {}))
    uow.held_devices.release(row.factory_id, row.uuid)  # whoever registers has looked at it
    uow.audit.append(_registered_event(held))
    uow.changes.announce(ChangeKind.DEVICE, row.factory_id, row.uuid)
    return Registered(certificate, claim.online.ca.certificate, claim.online.root)


def release(uow: UnitOfWork, held: Reservation) -> None:
    """Take a reservation back after a failure; one that was completed all the same stays."""
    row = held.claim.row
    entries = uow.issuances.history(row.factory_id, row.uuid, row.spki_sha256)
    mine = next((entry for entry in entries if entry.id == held.issuance_id), None)
    if mine is None or mine.certificate_der is not None:
        return
    uow.issuances.void(mine.id)
    uow.audit.append(
        _event(held.claim, EventKind.CERTIFICATE_VOIDED, {"uuid": row.uuid}, subject=serial_text(mine.intent.serial))
    )
    if held.reason is Reason.TAKEN_OVER and held.previous is not None:
        uow.devices.replace_key(held.previous)
    else:
        undo_reservation(uow, mine)


def undo_reservation(uow: UnitOfWork, issuance: Issuance) -> None:
    """Remove the device row that a voided intent had reserved, unless a certificate ever went out for it.

    The recovery after a crash calls this for each intent it voids.
    """
    intent = issuance.intent
    if intent.profile != DEVICE.name or intent.factory_id is None:
        return
    row = uow.devices.find(intent.factory_id, intent.subject_key)
    if row is None or (row.spki_sha256, row.issuer_sha256) != (intent.spki_sha256, intent.issuer_sha256):
        return
    if not uow.issuances.history(intent.factory_id, intent.subject_key, intent.spki_sha256):
        uow.devices.delete(intent.factory_id, intent.subject_key)


def void_open_intents(uow: UnitOfWork, device: Device) -> None:
    """Close whatever is being signed for a device that is about to go: its certificate will never leave."""
    for entry in uow.issuances.history(device.factory_id, device.uuid, device.spki_sha256):
        if entry.certificate_der is None:
            uow.issuances.void(entry.id)


def _spend_pass(uow: UnitOfWork, applicant: Applicant) -> None:
    """A leave counts for one key. The same key again is the same device whose answer got lost."""
    held = applicant.device_pass
    if held is not None and not uow.device_authorizations.bind_key(held.authorization_id, applicant.spki_sha256):
        raise RefusedError(
            "token-spent", "This token registered the device with another key. Start again to get a new one."
        )


def _reserve_known(
    uow: UnitOfWork, claim: Claim, known: Device, reregister: Reregistration
) -> Reservation | Registered:
    applicant, online = claim.applicant, claim.online
    if known.spki_sha256 == applicant.spki_sha256:
        return _find_issued(uow, applicant, online) or _record(uow, claim, Reason.REPEATED)
    if is_unclaimed(uow, known):
        uow.devices.replace_key(claim.row)
        return _record(uow, claim, Reason.TAKEN_OVER, previous=known)
    if not reregister.lets_replace(known):
        raise uuid_taken(known, uow.accounts.find_user(known.owner))
    return replace(_record(uow, claim, Reason.REPLACED, previous=known), reregister=reregister)


def _replace_key(uow: UnitOfWork, held: Reservation) -> Registered | None:
    """Put the new key in the place of the known one, or find that a twin of this request was quicker."""
    claim, previous = held.claim, held.previous
    row = uow.devices.find(claim.row.factory_id, claim.row.uuid)
    if row is not None and row.spki_sha256 == claim.row.spki_sha256:
        uow.issuances.void(held.issuance_id)
        return _find_issued(uow, claim.applicant, claim.online)
    if row is None or previous is None or row.spki_sha256 != previous.spki_sha256:
        raise superseded(claim.row.uuid)
    if not held.reregister.lets_replace(row):
        raise uuid_taken(row, uow.accounts.find_user(row.owner))
    void_open_intents(uow, row)
    uow.devices.replace_key(claim.row)
    return None


def _row(applicant: Applicant, online: OnlineIssuer, group: GroupRef | None) -> Device:
    verified = applicant.csr.verified
    return Device(
        factory_id=applicant.factory.id,
        uuid=applicant.csr.uuid,
        name=applicant.name,
        owner=applicant.by.polis_id,
        spki_der=verified.spki_der,
        spki_sha256=verified.spki_sha256,
        production=applicant.csr.production,
        issuer_sha256=online.certificate_sha256,
        issuer_serial=online.ca.serial,
        created_at=applicant.now,
        group=group,
        fetch_config_anew=True,  # a deleted device may come back with a copy of what it had then
    )


def _record(uow: UnitOfWork, claim: Claim, reason: Reason, *, previous: Device | None = None) -> Reservation:
    applicant, row = claim.applicant, claim.row
    intent = IssuanceIntent(
        factory_id=row.factory_id,
        issuer_sha256=row.issuer_sha256,
        serial=claim.serial,
        profile=DEVICE.name,
        subject_key=row.uuid,
        spki_sha256=row.spki_sha256,
        request_sha256=applicant.request_sha256,
        actor=applicant.by.polis_id,
        recorded_at=applicant.now,
    )
    issuance_id = uow.issuances.record_intent(intent)
    denied = uow.devices.find_denied(row.factory_id, row.uuid) is not None
    return Reservation(claim, issuance_id, reason, denied, previous)


def _renew_row(uow: UnitOfWork, row: Device) -> None:
    """A known device got another certificate for its key; twins of this request that are still at it are closed."""
    void_open_intents(uow, row)
    known = uow.devices.find(row.factory_id, row.uuid)
    if known is not None:
        uow.devices.replace_key(
            replace(
                known,
                production=row.production,
                issuer_sha256=row.issuer_sha256,
                issuer_serial=row.issuer_serial,
            )
        )


def _find_issued(uow: UnitOfWork, applicant: Applicant, online: OnlineIssuer) -> Registered | None:
    """Find a certificate that answers the request: for this key, with this production mark, valid, its CA enabled."""
    enabled = {
        certificate_sha256(ca.certificate): ca for ca in online.pki.device_cas if ca.standing is Standing.ENABLED
    }
    for entry in uow.issuances.history(applicant.factory.id, applicant.csr.uuid, applicant.spki_sha256):
        ca = enabled.get(entry.intent.issuer_sha256)
        if ca is None or entry.certificate_der is None:
            continue
        certificate = load_certificate_der(entry.certificate_der)
        ends = min(certificate.not_valid_after_utc, ca.certificate.not_valid_after_utc)
        if ends > applicant.now and read_subject(certificate.subject).is_production == applicant.csr.production:
            return Registered(certificate, ca.certificate, online.root)
    return None


def _answer_of_twin(uow: UnitOfWork, claim: Claim, cause: ConflictError) -> Registered:
    """Our intent was closed: by a repeat of this very request that finished first, or because the device went."""
    row = uow.devices.find(claim.row.factory_id, claim.row.uuid)
    if row is not None and row.spki_sha256 == claim.row.spki_sha256:
        issued = _find_issued(uow, claim.applicant, claim.online)
        if issued is not None:
            return issued
    raise superseded(claim.row.uuid) from cause


def _registered_event(held: Reservation) -> AuditEvent:
    claim, row = held.claim, held.claim.row
    details = {
        "name": row.name,
        "reason": held.reason.value,
        "serial": serial_text(claim.serial),
        "issuer-sha256": row.issuer_sha256.hex(),
        "key-sha256": row.spki_sha256.hex(),
        "request-sha256": claim.applicant.request_sha256.hex(),
    }
    if held.previous is not None:
        details["previous-key-sha256"] = held.previous.spki_sha256.hex()
    return _event(claim, EventKind.DEVICE_REGISTERED, details)


def _event(claim: Claim, kind: EventKind, details: Mapping[str, str], *, subject: str | None = None) -> AuditEvent:
    applicant = claim.applicant
    return AuditEvent(
        factory_id=applicant.factory.id,
        at=applicant.now,
        actor=applicant.by.polis_id,
        kind=kind,
        subject=subject or applicant.csr.uuid,
        details=details,
    )
