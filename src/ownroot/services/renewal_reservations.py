"""The two transactions around the signature of a renewed certificate.

`reserve` decides whether the device may have it and records the intent to sign; `complete` makes the certificate count.
In between the CA may be disabled, the device deleted, the same request repeated, the process killed: each leaves an
intent that never becomes a certificate, and the device's row is untouched until it shows the new one.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, RefusedError, UnavailableError
from ownroot.pki.encoding import certificate_der, certificate_sha256, load_certificate_der, subject_der
from ownroot.pki.requests import VerifiedCsr
from ownroot.pki.serials import Serial, serial_text
from ownroot.services.device_entries import ask_table, current_ca
from ownroot.services.issuers import OnlineIssuer
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, Device, Factory, IssuanceIntent
from ownroot.trust.admission import GoOn, Refuse
from ownroot.trust.device_identity import Identified
from ownroot.trust.state import Standing

RENEWAL_PROFILE: Final = "device-renewal"
"""What the issuance log calls a certificate in place of another; unlike a first one, it reserves no device's row."""

_A_DAY: Final = timedelta(days=1)
# Asked for each renewal, and there are few of them.
_ca_sha256 = lru_cache(maxsize=64)(certificate_sha256)


@dataclass(frozen=True, slots=True)
class Renewal:
    """A device that proved both keys and whose request passed every check that needs no database.

    Attributes:
        identified: by the certificate it showed, under the trust of `online`.
        expired_for: how long ago that certificate ended; None: it has not.
    """

    factory: Factory
    online: OnlineIssuer
    identified: Identified
    csr: VerifiedCsr
    request_sha256: bytes
    expired_for: timedelta | None
    now: datetime

    @property
    def is_recovery(self) -> bool:
        """Does it come with an expired certificate?"""
        return self.expired_for is not None

    def event(self, kind: EventKind, details: dict[str, str]) -> AuditEvent:
        """Say for the audit log what the device brought about."""
        uuid = self.identified.uuid
        return AuditEvent(self.factory.id, self.now, device_actor(uuid), kind, uuid, details)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate on record, and the device CA that signed it; both DER."""

    certificate_der: bytes
    issuer_der: bytes


@dataclass(frozen=True, slots=True)
class RenewalReservation:
    """The intent to sign, on record."""

    renewal: Renewal
    serial: Serial
    issuance_id: int


def reserve(uow: UnitOfWork, renewal: Renewal, serial: Serial) -> RenewalReservation | Issued:
    """Decide, then record the intent, or find that the certificate asked for exists already.

    Raises:
        RefusedError: the codes of `trust.admission.admit`, `recovery-not-allowed`, `recovery-too-late`.
        InvalidInputError: `csr-key-taken`, `csr-key-replaced`.
        UnavailableError: `device-unsettled`.
    """
    if renewal.is_recovery:
        _require_leave(uow, renewal)
    device = _require_welcome(uow, renewal)
    _require_free_key(uow, device, renewal)
    issued = _find_issued(uow, renewal)
    if issued is not None:
        _announce_recovered_key(uow, renewal, device)
        return issued
    intent = IssuanceIntent(
        factory_id=renewal.factory.id,
        issuer_sha256=renewal.online.certificate_sha256,
        serial=serial,
        profile=RENEWAL_PROFILE,
        subject_key=renewal.identified.uuid,
        spki_sha256=renewal.csr.spki_sha256,
        request_sha256=renewal.request_sha256,
        actor=device_actor(renewal.identified.uuid),
        recorded_at=renewal.now,
    )
    return RenewalReservation(renewal, serial, uow.issuances.record_intent(intent))


def complete(uow: UnitOfWork, held: RenewalReservation, certificate: x509.Certificate) -> Issued | OwnrootError:
    """Make the signed certificate count, or return the one of a twin request that was quicker.

    Returns: the error if the device lost its standing meanwhile; the intent is void then, so commit and raise it.
    Raises:
        ConflictError: `issuance-voided`.
    """
    renewal = held.renewal
    try:
        device = _require_welcome(uow, renewal)
    except (RefusedError, UnavailableError) as error:
        uow.issuances.void(held.issuance_id)
        return error
    quicker = _find_issued(uow, renewal)
    if quicker is not None:
        uow.issuances.void(held.issuance_id)
        _announce_recovered_key(uow, renewal, device)
        return quicker
    der = certificate_der(certificate)
    uow.issuances.record_certificate(held.issuance_id, der)
    key, end = renewal.csr.spki_sha256, certificate.not_valid_after_utc
    uow.ends.note_issued(device.factory_id, device.uuid, key, not_after=end)
    _announce_recovered_key(uow, renewal, device)
    uow.audit.append(renewal.event(EventKind.DEVICE_RENEWED, _details(held)))
    return Issued(der, certificate_der(renewal.online.ca.certificate))


def give_up(uow: UnitOfWork, held: RenewalReservation) -> None:
    """Void the intent after a failure; nothing else was written."""
    uow.issuances.void(held.issuance_id)


def _require_leave(uow: UnitOfWork, renewal: Renewal) -> None:
    policy = uow.recovery_policies.find(renewal.factory.id)
    expired_for = renewal.expired_for or timedelta()
    if policy is None:
        raise RefusedError(
            "recovery-not-allowed",
            f"The device certificate ended {expired_for // _A_DAY} days ago, and factory {renewal.factory.name} lets "
            "no device renew after that. Its owner may allow it with `ownroot devices recovery --days N`.",
        )
    if expired_for > timedelta(days=policy.max_expired_days):
        raise RefusedError(
            "recovery-too-late",
            f"The device certificate ended {expired_for // _A_DAY} days ago; factory {renewal.factory.name} lets "
            f"devices renew up to {policy.max_expired_days} days after. Its owner may allow more, or the device is "
            "registered again.",
        )


def _require_welcome(uow: UnitOfWork, renewal: Renewal) -> Device:
    identified = renewal.identified
    ca = current_ca(renewal.online.pki, identified.issuer)
    device, admission = ask_table(uow, renewal.factory, identified, ca)
    match admission:
        case GoOn() if device is not None:
            return device
        case Refuse(code, detail):
            raise RefusedError(code, detail)
    if renewal.is_recovery:
        raise RefusedError(
            "recovery-not-pinned", "Only a device that is known with this very key may renew an expired certificate."
        )
    # The gateway makes devices known and promotes keys before it asks us, so somebody was quicker.
    raise UnavailableError(
        "device-unsettled", "What is known of the device changed meanwhile. Try again.", retry_after=1
    )


def _require_free_key(uow: UnitOfWork, device: Device, renewal: Renewal) -> None:
    key = renewal.csr.spki_sha256
    if key == device.spki_sha256:
        return
    try:
        uow.devices.require_free_key(device, key)
    except ConflictError as conflict:
        code = "csr-key-replaced" if conflict.code == "device-key-replaced" else "csr-key-taken"
        raise InvalidInputError(code, conflict.detail) from conflict


def _find_issued(uow: UnitOfWork, renewal: Renewal) -> Issued | None:
    """Find the answer to an earlier sending of this request: newer than what was shown, of an enabled CA, still young.

    A device that renews without a new key shows the newest one, so it gets another. What has lived two thirds of its
    life is due for a renewal itself.
    """
    shown = certificate_der(renewal.identified.certificate)
    cas = renewal.online.pki.device_cas
    enabled = {_ca_sha256(ca.certificate): ca.certificate for ca in cas if ca.standing is Standing.ENABLED}
    history = uow.issuances.history(renewal.factory.id, renewal.identified.uuid, renewal.csr.spki_sha256)
    for entry in history:
        if entry.certificate_der is None:
            continue
        if entry.certificate_der == shown:
            return None
        certificate = load_certificate_der(entry.certificate_der)
        issuer = enabled.get(entry.intent.issuer_sha256)
        is_same = subject_der(certificate) == renewal.csr.subject_der
        if issuer is not None and is_same and _is_young(certificate, renewal.now):
            return Issued(entry.certificate_der, certificate_der(issuer))
    return None


def _is_young(certificate: x509.Certificate, now: datetime) -> bool:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now < start + (end - start) * 2 / 3


def _announce_recovered_key(uow: UnitOfWork, renewal: Renewal, device: Device) -> None:
    """An expired device cannot announce its next key itself, so its renewal does: the first sight of it promotes it.

    Also when it gets a certificate a second time: the announcement may have been cancelled, or another have followed.
    """
    if not renewal.is_recovery or renewal.csr.spki_sha256 in (device.spki_sha256, device.next_spki_sha256):
        return
    changed = replace(device, next_spki_sha256=renewal.csr.spki_sha256, next_key_at=renewal.now)
    uow.devices.replace_key(changed)
    uow.audit.append(
        renewal.event(EventKind.DEVICE_KEY_ANNOUNCED, {"key-sha256": renewal.csr.spki_sha256.hex(), "by": "recovery"})
    )
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)


def _details(held: RenewalReservation) -> dict[str, str]:
    renewal = held.renewal
    details = {
        "serial": serial_text(held.serial),
        "replaces-serial": str(renewal.identified.certificate.serial_number),
        "issuer-sha256": renewal.online.certificate_sha256.hex(),
        "key-sha256": renewal.csr.spki_sha256.hex(),
        "request-sha256": renewal.request_sha256.hex(),
    }
    return details if renewal.expired_for is None else details | {"expired-days": str(renewal.expired_for // _A_DAY)}
