"""The owner's review of devices held after a restore: let them in, or keep them out.

An owner names keys they have seen, never "all there are": what arrives while they look must not slip in with the rest.
A verdict that was carried out before succeeds again and changes nothing. One that cannot be carried out says why and
leaves the others of its batch alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError
from ownroot.services.authority import Principal
from ownroot.services.device_entries import ask_table, create_device, replace_device_key
from ownroot.services.effective_pki import effective_pki
from ownroot.services.manage_devices import Paging
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import DeniedDevice, Device, Factory, HeldDevice, HeldFilter
from ownroot.trust.admission import FirstContact, GoOn, Promote, Refuse, RefuseKey
from ownroot.trust.device_identity import GatewayTrust, Identified, NotTrusted, identify
from ownroot.trust.state import Standing


@dataclass(frozen=True, slots=True)
class HeldKey:
    """Which entry a verdict is about; text of the caller's, unverified."""

    uuid: str
    spki_sha256: bytes


@dataclass(frozen=True, slots=True)
class HeldEntry:
    """A held device and what is known under its uuid now; None: nothing."""

    held: HeldDevice
    known: Device | None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What became of one verdict. `hindrance` None: it is carried out."""

    key: HeldKey
    hindrance: Refuse | None = None


def list_held(
    uow: UnitOfWork, factory: Factory, where: HeldFilter, *, paging: Paging
) -> tuple[Sequence[HeldEntry], int]:
    """Return one page of what waits for review and how much there is."""
    found, total = uow.held_devices.page(factory.id, where, limit=paging.limit, page=paging.page)
    return [HeldEntry(held, uow.devices.find(factory.id, held.uuid)) for held in found], total


def accept_held(uow: UnitOfWork, keys: Iterable[HeldKey], *, by: Principal, now: datetime) -> Sequence[Reviewed]:
    """Let devices in as their first contact would have, or give known ones the key they came with.

    Returns: per key, with the codes `held-unknown`, `held-rival-key`, `device-held-refused`, `device-ca-disabled`,
        `device-key-taken`, and those of `trust.device_identity` and `trust.admission`.
    """
    pki, _ = effective_pki(uow, by.factory)
    # What the operator allows beyond the profile was asked when the device was held, and will be when it comes back.
    trust = GatewayTrust(
        by.factory.name, pki.device_cas, allow_rsa=True, allow_ca_profile=True, revoked_cas=pki.revoked_cas
    )
    return _each(keys, partial(_accept, uow, trust, by, now))


def refuse_held(uow: UnitOfWork, keys: Iterable[HeldKey], *, by: Principal, now: datetime) -> Sequence[Reviewed]:
    """Keep devices out: an unknown uuid goes on the deny list, of a known one this key stays refused for ever.

    Returns: per key, with the codes `held-unknown`, `held-known`.
    """
    return _each(keys, partial(_refuse, uow, by, now))


def _each(keys: Iterable[HeldKey], review: Callable[[HeldKey], Refuse | None]) -> Sequence[Reviewed]:
    return [Reviewed(key, review(key)) for key in keys]


def _accept(uow: UnitOfWork, trust: GatewayTrust, by: Principal, now: datetime, key: HeldKey) -> Refuse | None:
    entries = uow.held_devices.of_uuid(by.factory.id, key.uuid)
    entry = next((entry for entry in entries if entry.spki_sha256 == key.spki_sha256), None)
    if entry is None:
        device = uow.devices.find(by.factory.id, key.uuid)
        return None if device is not None and device.spki_sha256 == key.spki_sha256 else _unknown(key)
    hindrance = _why_not(entry, entries)
    if hindrance is not None:
        return hindrance
    identified = identify(entry.certificate_der, trust, now)
    if isinstance(identified, NotTrusted):
        return Refuse(identified.code, identified.detail)
    try:
        return _let_in(uow, entry, identified, by, now)
    except ConflictError as conflict:
        return Refuse(conflict.code, conflict.detail)


def _why_not(entry: HeldDevice, entries: Sequence[HeldDevice]) -> Refuse | None:
    if entry.refused_at is not None:
        return Refuse(
            "device-held-refused",
            f"This key of {entry.uuid} was refused on {entry.refused_at:%Y-%m-%d %H:%M:%S} UTC, which stays. Delete "
            "what is known under the uuid and register the device again.",
        )
    if sum(other.refused_at is None for other in entries) > 1:
        return Refuse(
            "held-rival-key",
            f"Several keys claim to be {entry.uuid}, and one uuid is one device. Find out which is the device's own, "
            "refuse the others by their keys, then accept it.",
        )
    return None


def _let_in(uow: UnitOfWork, entry: HeldDevice, identified: Identified, by: Principal, now: datetime) -> Refuse | None:
    device, admission = ask_table(uow, by.factory, identified, identified.issuer)
    details = {"issuer": str(identified.issuer.serial), "key": identified.spki_sha256.hex()}
    match admission:
        case GoOn() | Promote():
            pass  # registered, or its renewal announced, since it was held
        case FirstContact(replaces_key=False):
            create_device(uow, by.factory, identified, seen_at=entry.last_at, now=now)
        case FirstContact() | RefuseKey():
            if device is None:
                raise AssertionError("only a known device has a key to replace")
            if identified.issuer.standing is not Standing.ENABLED:
                return _ca_disabled(entry)
            details["old"] = device.spki_sha256.hex()
            replace_device_key(uow, device, identified, now=now)
        case Refuse():
            return admission
    uow.held_devices.remove(entry.factory_id, entry.uuid, entry.spki_sha256)
    uow.audit.append(by.event(EventKind.DEVICE_HOLD_ACCEPTED, entry.uuid, details, at=now))
    return None


def _refuse(uow: UnitOfWork, by: Principal, now: datetime, key: HeldKey) -> Refuse | None:
    entries = uow.held_devices.of_uuid(by.factory.id, key.uuid)
    entry = next((entry for entry in entries if entry.spki_sha256 == key.spki_sha256), None)
    if entry is None:
        return _if_not_denied(uow, by.factory, key)
    if entry.refused_at is not None:
        return None
    known = uow.devices.find(by.factory.id, key.uuid)
    if known is not None and known.spki_sha256 == key.spki_sha256:
        return Refuse("held-known", f"Device {key.uuid} is known with this key by now. To cut it off, delete it.")
    if known is None and sum(other.refused_at is None for other in entries) == 1:
        uow.held_devices.remove(by.factory.id, entry.uuid, entry.spki_sha256)
        uow.devices.deny(_denial(entry, by, now))
    else:
        # The uuid is another one's, so it must stay welcome with that one's key.
        uow.held_devices.put(replace(entry, refused_at=now))
    details = {"issuer": str(entry.issuer_serial), "key": entry.spki_sha256.hex()}
    uow.audit.append(by.event(EventKind.DEVICE_HOLD_REFUSED, entry.uuid, details, at=now))
    return None


def _if_not_denied(uow: UnitOfWork, factory: Factory, key: HeldKey) -> Refuse | None:
    denied = uow.devices.find_denied(factory.id, key.uuid)
    return None if denied is not None and denied.spki_sha256 == key.spki_sha256 else _unknown(key)


def _denial(entry: HeldDevice, by: Principal, now: datetime) -> DeniedDevice:
    return DeniedDevice(
        factory_id=entry.factory_id,
        uuid=entry.uuid,
        name=entry.uuid,
        owner=entry.owner,
        spki_sha256=entry.spki_sha256,
        denied_at=now,
        denied_by=by.user.polis_id,
    )


def _unknown(key: HeldKey) -> Refuse:
    return Refuse(
        "held-unknown", f"No device {key.uuid[:64]!r} with this key is held. See what is with `ownroot devices held`."
    )


def _ca_disabled(entry: HeldDevice) -> Refuse:
    return Refuse(
        "device-ca-disabled",
        f"The CA that signed this certificate of {entry.uuid} is disabled, so it vouches for no new key. Enable it, or "
        "register the device again.",
    )
