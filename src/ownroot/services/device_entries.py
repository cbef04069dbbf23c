"""Devices as the store has them: what it answers when one calls, and how one is written that was let in.

Shared by the gateway's first contact and by the owner's acceptance of a held device, so that both make the same device.
Nothing here is audited; callers say who did it and why.
"""

from dataclasses import replace
from datetime import datetime

from ownroot.pki.encoding import certificate_sha256
from ownroot.services.device_rows import Credential, Ownership, make_row
from ownroot.services.effective_pki import is_unclaimed
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, DeniedKey, Device, Factory
from ownroot.trust.admission import Admission, KnownDevice, admit
from ownroot.trust.device_identity import Identified
from ownroot.trust.state import DeviceCa, FactoryPki

_NAME_LENGTH = 64


def ask_table(
    uow: UnitOfWork, factory: Factory, identified: Identified, ca: DeviceCa | None
) -> tuple[Device | None, Admission]:
    """Return what is stored under the uuid and what the table of admissions makes of it.

    Args:
        ca: the issuer as it stands in this transaction; None if it is trusted no more.
    """
    device = uow.devices.find(factory.id, identified.uuid)
    has_pinned_key = device is not None and device.spki_sha256 == identified.spki_sha256
    replaced = None if has_pinned_key else uow.denied_keys.find(factory.id, identified.spki_sha256)
    admission = admit(
        identified,
        None if device is None else _known(uow, device, identified),
        denied=uow.devices.find_denied(factory.id, identified.uuid) is not None,
        case_twin=device is None and uow.devices.has_case_twin(factory.id, identified.uuid),
        ca_standing=None if ca is None else ca.standing,
        key_replaced_at=None if replaced is None else replaced.denied_at,
    )
    return device, admission


def current_ca(pki: FactoryPki, issuer: DeviceCa) -> DeviceCa | None:
    """Return the same CA certificate as this state has it; None if it is trusted no more."""
    return next((ca for ca in pki.device_cas if ca.certificate == issuer.certificate), None)


def has_same_issuer(device: Device, identified: Identified) -> bool:
    """Was the certificate accepted last signed by the CA that signed this one?"""
    return device.issuer_sha256 == certificate_sha256(identified.issuer.certificate)


def create_device(
    uow: UnitOfWork, factory: Factory, identified: Identified, *, seen_at: datetime, now: datetime
) -> Device:
    """Make a device known by its certificate, and tell the gateways.

    Raises:
        ConflictError: `device-key-taken`, another device is pinned to this key.
    """
    ownership = Ownership(factory.id, identified.issuer.owner_of_new_devices, now)
    row = make_row(Credential.of(identified), ownership, name=_free_name(uow, factory, identified))
    device = replace(
        row, last_seen=seen_at, fetch_config_anew=True
    )  # a deleted device may come back with a copy of what it had then
    uow.devices.add(device)
    uow.changes.announce(ChangeKind.DEVICE, factory.id, identified.uuid)
    return device


def replace_device_key(uow: UnitOfWork, device: Device, identified: Identified, *, now: datetime) -> Device:
    """Pin a known device to the key it came with, refuse the old one from now on, and tell the gateways.

    The device's next GET /config is answered in full.

    Raises:
        ConflictError: `device-key-taken`.
    """
    changed = replace(
        _with_issuer(device, identified),
        spki_der=identified.spki_der,
        spki_sha256=identified.spki_sha256,
        next_spki_sha256=None,
        next_key_at=None,
        fetch_config_anew=True,
    )
    uow.devices.replace_key(changed)
    uow.configs.stamp_device(changed)
    uow.denied_keys.deny(DeniedKey(device.factory_id, device.spki_sha256, device.uuid, now))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return changed


def remember_issuer(uow: UnitOfWork, device: Device, identified: Identified) -> Device:
    """The same key under another CA is the same device; who vouches for it, and until when, is what is kept."""
    if has_same_issuer(device, identified) and device.not_after == identified.certificate.not_valid_after_utc:
        return device
    changed = _with_issuer(device, identified)
    uow.devices.replace_key(changed)
    return changed


def _known(uow: UnitOfWork, device: Device, identified: Identified) -> KnownDevice:
    differs = device.spki_sha256 != identified.spki_sha256
    return KnownDevice(
        device.spki_sha256,
        device.next_spki_sha256,
        is_unclaimed=differs and is_unclaimed(uow, device),
        quarantined_at=device.quarantined_at,
    )


def _free_name(uow: UnitOfWork, factory: Factory, identified: Identified) -> str:
    """A device is called by its uuid until it is renamed, unless somebody gave that name to another one."""
    if uow.devices.find_by_name(factory.id, identified.uuid) is None:
        return identified.uuid
    return name_beside(identified)


def name_beside(identified: Identified) -> str:
    """Return what a device is called at first when its uuid is the name of another."""
    suffix = "-" + identified.spki_sha256.hex()[:12]
    return identified.uuid[: _NAME_LENGTH - len(suffix)] + suffix


def _with_issuer(device: Device, identified: Identified) -> Device:
    return replace(
        device,
        production=identified.production,
        issuer_sha256=certificate_sha256(identified.issuer.certificate),
        issuer_serial=identified.issuer.serial,
        not_after=identified.certificate.not_valid_after_utc,
    )
