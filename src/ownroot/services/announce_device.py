"""Take in a device whose certificate somebody else has signed already: a registration server, or the owner by hand.

The certificate speaks for itself, by the same rules as at the gateway. What an announcement adds to a first contact is
who vouches for the device, its name and its group; a device that called first gets these when it is announced, unless
somebody gave it others meanwhile. Repeating one changes nothing.

Source: registration.md §9.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from cryptography import x509

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, RefusedError
from ownroot.pki.encoding import certificate_der, certificate_sha256, parse_certificate
from ownroot.pki.names import read_subject
from ownroot.services.authority import Principal
from ownroot.services.authorize_device import claimed_uuid
from ownroot.services.change_device import store_description
from ownroot.services.device_conflicts import require_no_uuid_of_another, uuid_taken, worded
from ownroot.services.device_entries import name_beside, remember_issuer
from ownroot.services.device_rows import Credential, add_row, make_described_row, require_free, take_over_row
from ownroot.services.effective_pki import effective_pki, is_unclaimed
from ownroot.services.hold_devices import hold_what_came_since
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, Device
from ownroot.services.scopes import Role
from ownroot.services.steps import Steps
from ownroot.trust.admission import FirstContact, Hold
from ownroot.trust.device_identity import GatewayTrust, Identified, NotTrusted, identify
from ownroot.trust.state import Standing


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is announced, unverified: the device's certificate as PEM, and how the device is to be called and grouped.

    `name` None means: the uuid.
    """

    certificate: str
    name: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """The device as it is known now; `is_new` unless it was known with this very key before."""

    device: Device
    is_new: bool


def announce_device(announcement: Announcement, *, by: Principal, now: datetime) -> Steps[Announced]:
    """Make an announced device known, or find that it is.

    Raises:
        InvalidInputError: the PEM, the certificate, its issuer (codes of `trust.device_identity`), `name-invalid`,
            `group-unknown`.
        RefusedError: `wrong-factory`, `device-ca-disabled`; `device-held-for-review`, if `by` may not accept it.
        ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`,
            `device-denied`.
        All are in the audit log before they are raised.
    """
    claimed = ""
    try:
        certificate = parse_certificate(announcement.certificate)
        claimed = claimed_uuid(certificate_der(certificate))
        _require_factory(certificate, by)
        announced: Announced = yield partial(
            _announce, announcement=announcement, certificate=certificate, by=by, now=now
        )
        return announced
    except (InvalidInputError, RefusedError, ConflictError) as error:
        event = by.event(EventKind.DEVICE_REGISTRATION_REFUSED, claimed, {"code": error.code}, at=now)
        yield lambda uow: uow.audit.append(event)
        raise


def _require_factory(certificate: x509.Certificate, by: Principal) -> None:
    units = read_subject(certificate.subject).organizational_units
    if len(units) == 1 and units[0] != by.factory.name:
        raise RefusedError(
            "wrong-factory",
            f"The certificate is for factory {units[0][:64]!r} (its OU), the token for factory {by.factory.name}.",
            fields={"client.pem": "OU is another factory's"},
        )


def _announce(
    uow: UnitOfWork, announcement: Announcement, certificate: x509.Certificate, by: Principal, now: datetime
) -> Announced:
    pki, _ = effective_pki(uow, by.factory)
    trust = GatewayTrust(by.factory.name, pki.device_cas, revoked_cas=pki.revoked_cas)
    identified = identify(certificate_der(certificate), trust, now)
    if isinstance(identified, NotTrusted):
        raise InvalidInputError(identified.code, identified.detail, fields={"client.pem": identified.detail})
    return _take_in(uow, announcement, identified, by=by, now=now)


def _take_in(
    uow: UnitOfWork, announcement: Announcement, identified: Identified, *, by: Principal, now: datetime
) -> Announced:
    wanted = make_described_row(
        uow, Credential.of(identified), name=announcement.name, group=announcement.group, by=by, now=now
    )
    known = uow.devices.find(by.factory.id, identified.uuid)
    if known is not None and known.spki_sha256 == identified.spki_sha256:
        device = remember_issuer(uow, known, identified)
        if device != known:
            uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
        if _is_described(device, identified):
            return Announced(device, is_new=False)
        return Announced(_describe(uow, device, wanted, by=by, now=now), is_new=False)
    _require_enabled(identified)
    require_free(uow, wanted)
    _require_review(uow, identified, by)
    if known is None:
        add_row(uow, wanted)
    elif is_unclaimed(uow, known):
        # What the operator's keys vouched for before the take-over counts for nothing now.
        take_over_row(uow, wanted)
    else:
        raise uuid_taken(known, uow.accounts.find_user(known.owner))
    uow.held_devices.release(wanted.factory_id, wanted.uuid)  # whoever announces has looked at it
    details = {
        "name": wanted.name,
        "issuer": str(wanted.issuer_serial),
        "key-sha256": wanted.spki_sha256.hex(),
        "certificate-sha256": certificate_sha256(identified.certificate).hex(),
    }
    uow.audit.append(by.event(EventKind.DEVICE_ANNOUNCED, wanted.uuid, details, at=now))
    uow.changes.announce(ChangeKind.DEVICE, wanted.factory_id, wanted.uuid)
    return Announced(wanted, is_new=True)


def _is_described(device: Device, identified: Identified) -> bool:
    """Did anybody say more about a device than its first contact does?"""
    is_named = device.name not in {device.uuid, name_beside(identified)}
    return is_named or device.group is not None or device.owner != identified.issuer.owner_of_new_devices


def _describe(uow: UnitOfWork, device: Device, wanted: Device, *, by: Principal, now: datetime) -> Device:
    """A device may call before its announcement gets through; what that says of it is said then."""
    name = device.name if wanted.name == wanted.uuid else wanted.name
    described = replace(device, name=name, owner=wanted.owner, group=wanted.group)
    require_no_uuid_of_another(uow, described)
    try:
        return store_description(uow, device, described, by=by, now=now)
    except ConflictError as error:
        raise worded(error, uuid=device.uuid, name=name) from None


def _require_enabled(identified: Identified) -> None:
    if identified.issuer.standing is Standing.DISABLED:
        raise RefusedError(
            "device-ca-disabled",
            f"The CA that signed the certificate of device {identified.uuid} admits no new devices. Register it "
            "under another CA, or have the owner enable this one.",
            fields={"client.pem": "its CA is disabled"},
        )


def _require_review(uow: UnitOfWork, identified: Identified, by: Principal) -> None:
    """After a restore an announcement speaks for a device nobody remembers; that takes whoever could accept it."""
    if by.role in (Role.OWNER, Role.ADMIN):
        return
    if isinstance(hold_what_came_since(uow, by.factory, identified, FirstContact()), Hold):
        raise RefusedError(
            "device-held-for-review",
            f"The server was restored from a backup and does not remember this certificate of device {identified.uuid}"
            ", which was issued since. An owner or admin of the factory announces it, or accepts it when it calls.",
            fields={"client.pem": "held for review"},
        )
