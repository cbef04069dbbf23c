"""Register a device through the API: give it a certificate of the online device CA.

Record, then sign, then answer. The device's row and the intent to sign are one commit, before any key is used; the
certificate, its audit event and the notice to the gateways are the next one, before the answer leaves. So a
certificate that left can always be found, and whoever repeats a request whose answer got lost gets the same one.

Source: registration.md §3-8; architecture.md §8, P1-P3, P7.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError, OwnrootError, RefusedError
from ownroot.pki.issuance import DEVICE_BACKDATE, plan_device, sign_plan
from ownroot.pki.profiles import DEVICE
from ownroot.pki.requests import KeyPolicy, read_device_csr
from ownroot.pki.serials import new_serial
from ownroot.services.authority import Principal
from ownroot.services.device_conflicts import parse_device_name, worded
from ownroot.services.device_reservations import (
    Applicant,
    Issuers,
    Registered,
    Reservation,
    complete,
    release,
    reserve,
)
from ownroot.services.ports import UnitOfWork
from ownroot.services.reregistration import Reregistration
from ownroot.services.steps import Aside, Steps

# The online CA may be replaced while it signs. Then the new one signs; an owner who does that all day can wait.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ProductionPolicy:
    """Which devices may mark themselves as production devices: all, or those that register into one of `groups`."""

    everywhere: bool = True
    groups: frozenset[str] = frozenset()

    def allows(self, group: str | None) -> bool:
        """Say whether a device that registers into this group may."""
        return self.everywhere or group in self.groups


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """What the operator decides about device certificates that the backend signs."""

    keys: KeyPolicy = field(default_factory=KeyPolicy)
    production: ProductionPolicy = field(default_factory=ProductionPolicy)
    reregister: Reregistration = Reregistration.REJECT
    validity: timedelta = timedelta(days=DEVICE.lifetime.days)
    backdate: timedelta = DEVICE_BACKDATE


@dataclass(frozen=True, slots=True)
class Issuing:
    """The issuing side of a registration: who signs, under which policy, with serials from where."""

    issuers: Issuers
    policy: RegistrationPolicy = field(default_factory=RegistrationPolicy)
    random: Callable[[int], bytes] = os.urandom


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a device asks for, as text and unverified. `request_sha256` covers the whole request as it came in."""

    csr: str
    uuid: str | None
    name: str | None
    group: str | None
    request_sha256: bytes


def register_device(registration: Registration, *, by: Principal, issuing: Issuing, now: datetime) -> Steps[Registered]:
    """Register a device and return its certificate, or the one it already has for the same key.

    Args:
        by: the caller. The CSR's OU must name their factory; they become the owner of a new device.

    Raises:
        InvalidInputError: the CSR (codes of `pki.requests`), `uuid-mismatch`, `name-invalid`, `group-unknown`.
        RefusedError: `wrong-factory`, `token-other-device`, `token-spent`, `production-forbidden`, `no-online-ca`,
            `online-ca-disabled`.
        ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`,
            `registration-superseded`.
        KeyStoreError: the online CA's key cannot be used; nothing is left behind.
        UnavailableError: the database cannot commit, or the token with the online CA's key is away.
        All but the last two are in the audit log before they are raised.
    """
    try:
        applicant = _read_applicant(registration, by, issuing.policy, now)
    except InvalidInputError as error:
        # Nothing that was not understood goes into the log but the hash that finds the request again.
        details = {"code": error.code, "request-sha256": registration.request_sha256.hex()}
        event = by.event(EventKind.DEVICE_REGISTRATION_REFUSED, "", details, at=now)
        yield lambda uow: uow.audit.append(event)
        raise
    try:
        _judge(applicant, issuing.policy)
        return (yield from _register(applicant, issuing))
    except (InvalidInputError, RefusedError, ConflictError) as error:
        yield partial(_record_refusal, applicant=applicant, by=by, error=error)
        raise


def _read_applicant(registration: Registration, by: Principal, policy: RegistrationPolicy, now: datetime) -> Applicant:
    csr = read_device_csr(registration.csr, policy=policy.keys)
    if registration.uuid is not None and registration.uuid != csr.uuid:
        raise InvalidInputError(
            "uuid-mismatch", "The uuid of the request is not the CN of its CSR.", fields={"uuid": "not the CSR's CN"}
        )
    name = parse_device_name(registration.name or csr.uuid)
    return Applicant(
        by.factory, csr, name, by.user, registration.request_sha256, now, registration.group, by.device_pass
    )


def _judge(applicant: Applicant, policy: RegistrationPolicy) -> None:
    csr, factory = applicant.csr, applicant.factory
    if csr.factory != factory.name:
        raise RefusedError(
            "wrong-factory",
            f"The CSR is for factory {csr.factory} (its OU), the token for factory {factory.name}.",
            fields={"csr": "OU is another factory's"},
        )
    if applicant.device_pass is not None and csr.uuid != applicant.device_pass.uuid:
        raise RefusedError(
            "token-other-device",
            "The token was made for another device than the CSR's (its CN).",
            fields={"csr": "CN is not the device that was allowed"},
        )
    if csr.production and not policy.production.allows(applicant.group):
        where = " in that group" if policy.production.groups else ""
        raise RefusedError(
            "production-forbidden",
            f"This server does not let a device mark itself as a production device (businessCategory){where}.",
            fields={"csr": "businessCategory not allowed"},
        )


def _register(applicant: Applicant, issuing: Issuing) -> Steps[Registered]:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            serial = new_serial(issuing.random)
            held = yield partial(
                reserve,
                applicant=applicant,
                issuers=issuing.issuers,
                serial=serial,
                reregister=issuing.policy.reregister,
            )
            if isinstance(held, Registered):
                return held
            return (yield from _sign(held, issuing))
        except ConflictError as error:
            if error.code != "issuer-replaced" or attempt == _ATTEMPTS:
                raise worded(error, uuid=applicant.csr.uuid, name=applicant.name) from None
        except KeyStoreError as error:
            # A CA that is replaced takes its key off the token at once, under the hands of whoever signs with it.
            if error.code != "key-gone" or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _sign(held: Reservation, issuing: Issuing) -> Steps[Registered]:
    online, applicant = held.claim.online, held.claim.applicant
    try:
        plan = plan_device(
            applicant.csr,
            online.issuer.terms,
            now=applicant.now,
            serial=held.claim.serial,
            validity=issuing.policy.validity,
            backdate=issuing.policy.backdate,
        )
        sign = partial(sign_plan, plan, online.issuer.key)
        certificate = (yield Aside(sign)) if online.on_token else sign()
        registered: Registered = yield partial(complete, held=held, certificate=certificate, issuers=issuing.issuers)
        return registered
    except OwnrootError:
        # If this fails too, the recovery at the next start finds the open intent.
        with contextlib.suppress(OwnrootError):
            yield partial(release, held=held)
        raise


def _record_refusal(uow: UnitOfWork, applicant: Applicant, by: Principal, error: OwnrootError) -> None:
    details = {
        "code": error.code,
        "key-sha256": applicant.spki_sha256.hex(),
        "request-sha256": applicant.request_sha256.hex(),
    }
    event = by.event(EventKind.DEVICE_REGISTRATION_REFUSED, applicant.csr.uuid, details, at=applicant.now)
    uow.audit.append(event)
