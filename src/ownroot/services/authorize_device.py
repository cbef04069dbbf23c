"""Let a device in: what TLS proved, what the factory trusts, and what the store knows, put together.

`identify_caller` needs no store. `find_standing` looks a caller up in a read transaction and settles all but three
cases. Those change what is stored (first contact, promotion of the next key, another issuing CA for the same key), so
`settle_standing` decides them again inside their own write transaction: the CA may have been disabled, the device
deleted or another gateway process faster since the snapshot was taken. An answer is given only after that transaction
is durable.

Source: protocol gateway.md §3.1 step 5, §3.3.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import certificate_sha256, load_certificate_der
from ownroot.pki.names import DeviceUuid, read_subject
from ownroot.services.effective_pki import effective_pki, is_unclaimed
from ownroot.services.ports import ChangeKind, Device, Factory, UnitOfWork
from ownroot.services.read_gateway_trust import DeviceKey, FactoryTrust
from ownroot.trust.admission import Admission, FirstContact, GoOn, KnownDevice, Promote, Refuse, admit
from ownroot.trust.device_identity import Identified, NotTrusted, identify
from ownroot.trust.state import DeviceCa, FactoryPki

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


def find_standing(uow: UnitOfWork, caller: Caller) -> StandingAnswer:
    """Look a caller up. The caller's CA is taken to be trusted, as the snapshot that identified it says."""
    factory, identified = caller.trust.factory, caller.identified
    device, admission = _ask_table(uow, factory, identified, identified.issuer)
    if isinstance(admission, Refuse):
        return Denied(admission.code, admission.detail)
    if isinstance(admission, GoOn) and device is not None and _has_same_issuer(device, identified):
        return Admitted(device, uow.changes.generation())
    return NeedsWrite()


def settle_standing(uow: UnitOfWork, caller: Caller, *, now: datetime) -> Admitted | Denied:
    """Decide again and store the outcome; run it in a write transaction and answer after its commit.

    Raises:
        ConflictError: `device-key-taken`, another device is pinned to this key.
    """
    factory, identified = caller.trust.factory, caller.identified
    pki, _ = effective_pki(uow, factory)
    device, admission = _ask_table(uow, factory, identified, _current(pki, identified.issuer))
    match admission:
        case Refuse(code, detail):
            return Denied(code, detail)
        case FirstContact(replaces_key=False):
            device = _create(uow, factory, identified, now=now)
        case FirstContact() | Promote():
            device = _replace_key(uow, _require(device), identified, now=now)
        case GoOn():
            device = _remember_issuer(uow, _require(device), identified)
    return Admitted(device, uow.changes.generation())


def _ask_table(
    uow: UnitOfWork, factory: Factory, identified: Identified, ca: DeviceCa | None
) -> tuple[Device | None, Admission]:
    device = uow.devices.find(factory.id, identified.uuid)
    admission = admit(
        identified,
        None if device is None else _known(uow, device, identified),
        denied=uow.devices.find_denied(factory.id, identified.uuid) is not None,
        case_twin=device is None and uow.devices.has_case_twin(factory.id, identified.uuid),
        ca_standing=None if ca is None else ca.standing,
    )
    return device, admission


def _known(uow: UnitOfWork, device: Device, identified: Identified) -> KnownDevice:
    differs = device.spki_sha256 != identified.spki_sha256
    return KnownDevice(
        device.spki_sha256,
        device.next_spki_sha256,
        is_unclaimed=differs and is_unclaimed(uow, device),
    )


def _current(pki: FactoryPki, issuer: DeviceCa) -> DeviceCa | None:
    """The same CA certificate as this transaction sees it; None if it is trusted no more."""
    return next((ca for ca in pki.device_cas if ca.certificate == issuer.certificate), None)


def _has_same_issuer(device: Device, identified: Identified) -> bool:
    return device.issuer_sha256 == certificate_sha256(identified.issuer.certificate)


def _require(device: Device | None) -> Device:
    if device is None:
        raise AssertionError("the table lets no unknown device go on without creating it")
    return device


def _create(uow: UnitOfWork, factory: Factory, identified: Identified, *, now: datetime) -> Device:
    device = Device(
        factory_id=factory.id,
        uuid=identified.uuid,
        name=_free_name(uow, factory, identified),
        owner=identified.issuer.owner_of_new_devices,
        spki_der=identified.spki_der,
        spki_sha256=identified.spki_sha256,
        production=identified.production,
        issuer_sha256=certificate_sha256(identified.issuer.certificate),
        issuer_serial=identified.issuer.serial,
        created_at=now,
        last_seen=now,
    )
    uow.devices.add(device)
    details = {"owner": device.owner, "issuer": str(device.issuer_serial), "key": device.spki_sha256.hex()}
    uow.audit.append(_event(EventKind.DEVICE_FIRST_SEEN, device, now, details))
    uow.changes.announce(ChangeKind.DEVICE, factory.id, identified.uuid)
    return device


def _free_name(uow: UnitOfWork, factory: Factory, identified: Identified) -> str:
    """A device is called by its uuid until it is renamed, unless somebody gave that name to another one."""
    if uow.devices.find_by_name(factory.id, identified.uuid) is None:
        return identified.uuid
    suffix = "-" + identified.spki_sha256.hex()[:12]
    return identified.uuid[: _NAME_LENGTH - len(suffix)] + suffix


def _replace_key(uow: UnitOfWork, device: Device, identified: Identified, *, now: datetime) -> Device:
    changed = replace(
        _with_issuer(device, identified),
        spki_der=identified.spki_der,
        spki_sha256=identified.spki_sha256,
        next_spki_sha256=None,
    )
    uow.devices.replace_key(changed)
    details = {"old": device.spki_sha256.hex(), "new": changed.spki_sha256.hex()}
    uow.audit.append(_event(EventKind.DEVICE_KEY_CHANGED, device, now, details))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return changed


def _remember_issuer(uow: UnitOfWork, device: Device, identified: Identified) -> Device:
    """The same key under another CA is the same device; who vouches for it decides when that CA is revoked."""
    if _has_same_issuer(device, identified):
        return device
    changed = _with_issuer(device, identified)
    uow.devices.replace_key(changed)
    return changed


def _with_issuer(device: Device, identified: Identified) -> Device:
    return replace(
        device,
        production=identified.production,
        issuer_sha256=certificate_sha256(identified.issuer.certificate),
        issuer_serial=identified.issuer.serial,
    )


def _event(kind: EventKind, device: Device, now: datetime, details: dict[str, str]) -> AuditEvent:
    return AuditEvent(device.factory_id, now, _actor(device.uuid), kind, device.uuid, details)


def _actor(uuid: DeviceUuid) -> str:
    return f"device:{uuid}"
