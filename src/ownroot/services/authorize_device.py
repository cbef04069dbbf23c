"""Let a device in: what TLS proved, what the factory trusts, and what the store knows, put together.

`identify_caller` needs no store. `find_standing` looks a caller up in a read transaction and settles all but a few
cases. Those change what is stored (first contact, promotion of the next key, another issuing CA for the same key, a
device held for review after a restore, a replaced key that is shown again), so `settle_standing` decides them again
inside their own write transaction: the CA may have been disabled, the device deleted or another gateway process faster
since the snapshot was taken. An answer is given only after that transaction is durable.

Source: protocol gateway.md §3.1 step 5, §3.3.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import certificate_sha256, load_certificate_der
from ownroot.pki.names import read_subject
from ownroot.services.device_entries import (
    ask_table,
    create_device,
    current_ca,
    has_same_issuer,
    remember_issuer,
    replace_device_key,
)
from ownroot.services.effective_pki import effective_pki
from ownroot.services.hold_devices import find_hold, hold_what_came_since, record_hold
from ownroot.services.ports import UnitOfWork
from ownroot.services.read_gateway_trust import DeviceKey, FactoryTrust
from ownroot.services.records import Device, Factory
from ownroot.services.replaced_keys import is_reported, report_replaced_key
from ownroot.trust.admission import FirstContact, GoOn, Hold, Promote, Refuse, RefuseReplacedKey
from ownroot.trust.device_identity import Identified, NotTrusted, identify

_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """A client that one factory's trust vouches for; whether it is still welcome is another question.

    Attributes:
        trust: what said so. It holds as long as this very object is the current one, and until `expires_at`.
        issuer_sha256: of the device CA's certificate.
    """

    trust: FactoryTrust
    identified: Identified
    issuer_sha256: bytes

    @property
    def key(self) -> DeviceKey:
        return self.trust.factory.id, self.identified.uuid

    @property
    def spki_sha256(self) -> bytes:
        return self.identified.spki_sha256

    @property
    def expires_at(self) -> datetime:
        return self.identified.decision_expires_at


@dataclass(frozen=True, slots=True)
class Denied:
    """Not let in; `detail` is written for the device's own log."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The device may go on.

    Attributes:
        generation: of the change feed, in the transaction that said so. Whoever has already followed the feed further
            must ask again.
    """

    device: Device
    generation: int


@dataclass(frozen=True, slots=True)
class NeedsWrite:
    """Only a write transaction can settle this one."""


StandingAnswer: TypeAlias = Admitted | Denied | NeedsWrite


def identify_caller(certificate_der: bytes | None, trust: FactoryTrust, *, now: datetime) -> Caller | Denied:
    """Decide whose device a client certificate belongs to (`trust.device_identity.identify`)."""
    identified = identify(certificate_der, trust.trust, now)
    if isinstance(identified, NotTrusted):
        return Denied(identified.code, identified.detail)
    return Caller(trust, identified, certificate_sha256(identified.issuer.certificate))


def claimed_uuid(certificate_der: bytes | None) -> str:
    """Return what a refused certificate says its device is, for the record alone; empty if it says nothing readable."""
    try:
        names = () if certificate_der is None else read_subject(load_certificate_der(certificate_der).subject)
    except InvalidInputError:
        return ""
    return names.common_names[0][:_NAME_LENGTH] if names and names.common_names else ""


def find_standing(uow: UnitOfWork, caller: Caller, *, now: datetime) -> StandingAnswer:
    """Look a caller up. The caller's CA is taken to be trusted, as the snapshot that identified it says."""
    factory, identified = caller.trust.factory, caller.identified
    device, admission = ask_table(uow, factory, identified, identified.issuer)
    match hold_what_came_since(uow, factory, identified, admission):
        case RefuseReplacedKey() if not is_reported(uow, factory, identified, now=now):
            return NeedsWrite()
        case Refuse(code, detail):
            return Denied(code, detail)
        case GoOn() if device is not None and has_same_issuer(device, identified):
            return Admitted(device, uow.changes.generation())
        case Hold() if (known := find_hold(uow, factory, identified, now=now)) is not None:
            return Denied(known.code, known.detail)
    return NeedsWrite()


def settle_standing(uow: UnitOfWork, caller: Caller, *, now: datetime) -> Admitted | Denied:
    """Decide again and store the outcome; run it in a write transaction and answer after its commit.

    Raises:
        ConflictError: `device-key-taken`, another device is pinned to this key or has announced it.
    """
    factory, identified = caller.trust.factory, caller.identified
    pki, _ = effective_pki(uow, factory)
    device, admission = ask_table(uow, factory, identified, current_ca(pki, identified.issuer))
    match hold_what_came_since(uow, factory, identified, admission):
        case RefuseReplacedKey(code, detail):
            report_replaced_key(uow, factory, identified, now=now)
            return Denied(code, detail)
        case Refuse(code, detail):
            return Denied(code, detail)
        case Hold():
            held = record_hold(uow, factory, identified, now=now)
            return Denied(held.code, held.detail)
        case FirstContact(replaces_key=False):
            device = _create(uow, factory, identified, now=now)
        case FirstContact() | Promote():
            device = _replace_key(uow, _require(device), identified, now=now)
        case GoOn():
            device = remember_issuer(uow, _require(device), identified)
    return Admitted(_require(device), uow.changes.generation())


def _require(device: Device | None) -> Device:
    if device is None:
        raise AssertionError("the table lets no unknown device go on without creating it")
    return device


def _create(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> Device:
    device = create_device(uow, factory, identified, seen_at=now, now=now)
    details = {"owner": device.owner, "issuer": str(device.issuer_serial), "key": device.spki_sha256.hex()}
    uow.audit.append(_event(EventKind.DEVICE_FIRST_SEEN, device, now, details))
    return device


def _replace_key(uow: UnitOfWork, device: Device, identified: Identified, *, now: datetime) -> Device:
    changed = replace_device_key(uow, device, identified, now=now)
    details = {"old": device.spki_sha256.hex(), "new": changed.spki_sha256.hex()}
    uow.audit.append(_event(EventKind.DEVICE_KEY_CHANGED, device, now, details))
    return changed


def _event(kind: EventKind, device: Device, now: datetime, details: dict[str, str]) -> AuditEvent:
    return AuditEvent(device.factory_id, now, device_actor(device.uuid), kind, device.uuid, details)
