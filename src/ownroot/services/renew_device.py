"""Renew a device's certificate (EST, protocol: gateway.md §7): record, then sign, then answer.

A gateway worker has proven that the sender holds the key of the certificate it showed, and nothing it says beyond that
is believed: whose certificate it is, whether the device is welcome and what the request may contain is decided here, by
the same rules. Whoever repeats a request whose answer got lost gets the same certificate again.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from cryptography import x509

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError, UnavailableError
from ownroot.pki.encoding import sha256
from ownroot.pki.issuance import DEVICE_BACKDATE, plan_device, sign_plan
from ownroot.pki.reenrolment import read_reenrolment
from ownroot.pki.requests import DeviceCsr
from ownroot.pki.serials import Serial, new_serial
from ownroot.services.device_reservations import Issuers
from ownroot.services.issuers import OnlineIssuer
from ownroot.services.ports import UnitOfWork
from ownroot.services.read_gateway_trust import DeviceCertificatePolicy
from ownroot.services.recent_refusals import RecentRefusals
from ownroot.services.records import Factory
from ownroot.services.renewal_reservations import (
    Issued,
    Renewal,
    RenewalReservation,
    complete,
    give_up,
    reserve,
)
from ownroot.services.steps import Aside, Steps
from ownroot.trust.device_identity import GatewayTrust, Identified, NotTrusted, identify

RENEWED_CERTIFICATE_DAYS: Final = 1095
_ATTEMPTS: Final = 3
_EVER: Final = timedelta(days=36500)
_NO_ISSUER_RETRY_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class RenewalRequest:
    """What a gateway worker hands on.

    Attributes:
        certificate_der: the certificate whose key TLS proved; nothing else about it is known.
        csr_der: unread.
        peer: where the device called from, for the record.
    """

    factory_id: int
    certificate_der: bytes
    csr_der: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class _FactoryView:
    """A factory as a transaction saw it; `online.pki` is the trust that counts in it."""

    factory: Factory
    online: OnlineIssuer
    trust: GatewayTrust


@dataclass(frozen=True, slots=True)
class Renewing:
    """The issuing side of renewals: who signs, for how long, and which certificates count as a device's.

    `views` keeps what was last seen of each factory, so that signatures are verified outside the transaction that
    decides; that transaction finds out whether it still holds. `refusals` keeps what the audit log was told lately.
    """

    issuers: Issuers
    policy: DeviceCertificatePolicy = field(default_factory=DeviceCertificatePolicy)
    validity: timedelta = timedelta(days=RENEWED_CERTIFICATE_DAYS)
    backdate: timedelta = DEVICE_BACKDATE
    random: Callable[[int], bytes] = os.urandom
    views: dict[int, _FactoryView] = field(default_factory=dict)
    refusals: RecentRefusals = field(default_factory=RecentRefusals)


def renew_device(request: RenewalRequest, *, renewing: Renewing, now: datetime) -> Steps[Issued]:
    """Return a new certificate for a device, or the one an earlier sending of the request got.

    Raises:
        RefusedError: the codes of `trust.device_identity.identify` and `renewal_reservations.reserve`.
        InvalidInputError: the codes of `pki.reenrolment.read_reenrolment` and `renewal_reservations.reserve`.
        UnavailableError: `renewals-no-issuer`, no enabled online CA signs; `device-unsettled`, `renewal-superseded`,
            `trust-moving`; the database cannot commit, or the token with the CA's key is away.
        KeyStoreError: the online CA's key cannot be used; nothing is left behind.
        What an identified device is refused is in the audit log before it is raised, the same once an hour.
    """
    view, is_fresh = renewing.views.get(request.factory_id), False
    for _ in range(_ATTEMPTS):
        if view is None:
            view = yield partial(_look, factory_id=request.factory_id, renewing=renewing)
            renewing.views[request.factory_id], is_fresh = view, True
        try:
            identified, expired_for = _identify(request, view, now)
        except RefusedError:
            if is_fresh:
                raise
            view = None  # perhaps its CA is newer than what we remember
            continue
        try:
            csr = read_reenrolment(request.csr_der, identified.certificate)
            request_sha256 = sha256(request.csr_der)
            renewal = Renewal(view.factory, view.online, identified, csr, request_sha256, expired_for, now)
            issued = yield from _attempt(renewal, renewing)
        except (InvalidInputError, RefusedError) as error:
            if renewing.refusals.is_new((request.factory_id, identified.uuid, error.code), now):
                yield partial(_record_refusal, request=request, identified=identified, error=error, now=now)
            raise
        if issued is not None:
            return issued
        view = None
    raise UnavailableError("trust-moving", "The factory's trust changed meanwhile. Try again.", retry_after=1)


def _record_refusal(
    uow: UnitOfWork, request: RenewalRequest, identified: Identified, error: OwnrootError, now: datetime
) -> None:
    uuid = identified.uuid
    details = {
        "code": error.code,
        "certificate-serial": str(identified.certificate.serial_number),
        "request-sha256": sha256(request.csr_der).hex(),
        "peer": request.peer,
    }
    kind = EventKind.DEVICE_RENEWAL_REFUSED
    uow.audit.append(AuditEvent(request.factory_id, now, device_actor(uuid), kind, uuid, details))


def _look(uow: UnitOfWork, factory_id: int, renewing: Renewing) -> _FactoryView:
    factory = next((known for known in uow.factories.list() if known.id == factory_id), None)
    if factory is None:
        raise RefusedError("factory-unknown", "There is no such factory.")
    online = _issuer(uow, factory, renewing)
    trust = GatewayTrust(
        factory.name,
        online.pki.device_cas,
        allow_rsa=renewing.policy.allow_rsa,
        allow_ca_profile=renewing.policy.allow_ca_profile,
        revoked_cas=online.pki.revoked_cas,
    )
    return _FactoryView(factory, online, trust)


def _issuer(uow: UnitOfWork, factory: Factory, renewing: Renewing) -> OnlineIssuer:
    """A factory without an enabled online CA refuses no device: its owner can help, so the device tries again."""
    try:
        return renewing.issuers.current(uow, factory)
    except RefusedError as refused:
        raise UnavailableError(
            "renewals-no-issuer",
            f"{refused.detail} Until then no certificate is renewed.",
            retry_after=_NO_ISSUER_RETRY_SECONDS,
        ) from refused


def _identify(request: RenewalRequest, view: _FactoryView, now: datetime) -> tuple[Identified, timedelta | None]:
    """Say whose certificate it is, and since when it is over; whether that may be is for the owner's policy to say."""
    found = identify(request.certificate_der, view.trust, now)
    if isinstance(found, Identified):
        return found, None
    expired = identify(request.certificate_der, view.trust, now, expired_for=_EVER)
    if isinstance(expired, NotTrusted):
        raise RefusedError(found.code, found.detail)
    return expired, now - expired.certificate.not_valid_after_utc


def _attempt(renewal: Renewal, renewing: Renewing) -> Steps[Issued | None]:
    """Returns None if the trust it was read under counts no more."""
    try:
        serial = new_serial(renewing.random)
        held: RenewalReservation | Issued | None = yield partial(
            _reserve_if_current, renewal=renewal, renewing=renewing, serial=serial
        )
        if not isinstance(held, RenewalReservation):
            return held
        return (yield from _sign(held, renewing))
    except KeyStoreError as error:
        # A CA that is replaced takes its key off the token at once, under the hands of whoever signs with it.
        if error.code != "key-gone":
            raise
        return None


def _reserve_if_current(
    uow: UnitOfWork, renewal: Renewal, renewing: Renewing, serial: Serial
) -> RenewalReservation | Issued | None:
    if _issuer(uow, renewal.factory, renewing) is not renewal.online:
        return None
    return reserve(uow, renewal, serial)


def _sign(held: RenewalReservation, renewing: Renewing) -> Steps[Issued | None]:
    renewal = held.renewal
    online, identified = renewal.online, renewal.identified
    try:
        plan = plan_device(
            DeviceCsr(renewal.csr, identified.uuid, identified.factory, identified.production),
            online.issuer.terms,
            now=renewal.now,
            serial=held.serial,
            validity=renewing.validity,
            backdate=renewing.backdate,
        )
        sign = partial(sign_plan, plan, online.issuer.key)
        certificate = (yield Aside(sign)) if online.on_token else sign()
        outcome = yield partial(_complete_if_current, held=held, renewing=renewing, certificate=certificate)
    except OwnrootError as error:
        # If this fails too, the recovery at the next start finds the open intent.
        with contextlib.suppress(OwnrootError):
            yield partial(give_up, held=held)
        raise _worded(error) from error
    if isinstance(outcome, OwnrootError):
        raise outcome
    issued: Issued | None = outcome
    return issued


def _worded(error: OwnrootError) -> OwnrootError:
    """What is no fault of the device is no refusal of it."""
    match error.code:
        case "issuance-voided":
            detail = "The renewal took too long and was given up. Try again."
            return UnavailableError("renewal-superseded", detail, retry_after=1)
        case "issuer-expired":
            return UnavailableError("renewals-no-issuer", error.detail, retry_after=_NO_ISSUER_RETRY_SECONDS)
    return error


def _complete_if_current(
    uow: UnitOfWork, held: RenewalReservation, renewing: Renewing, certificate: x509.Certificate
) -> Issued | OwnrootError | None:
    if _issuer(uow, held.renewal.factory, renewing) is not held.renewal.online:
        give_up(uow, held)
        return None
    return complete(uow, held, certificate)
