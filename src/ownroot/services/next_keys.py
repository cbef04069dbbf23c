"""The key a device will come with next: announced by the device, forgotten on its owner's word (gateway.md §6.2).

While a key is announced, the device's configuration is locked for its owner: what is encrypted now would be encrypted
to a key that is about to go. The first request with the announced key ends that (`authorize_device`).
"""

from dataclasses import replace
from datetime import datetime

from ownroot.audit.events import AuditEvent, EventKind, device_actor
from ownroot.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from ownroot.pki.encoding import parse_ec_public_key, spki_sha256
from ownroot.pki.requests import KeyPolicy
from ownroot.services.authority import Principal
from ownroot.services.manage_devices import DeviceRef, find_device
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, Device
from ownroot.trust.admission import refuse_quarantined


def announce_next_key(uow: UnitOfWork, caller: Device, pem: str, *, now: datetime) -> Device:
    """Store the key a device announces; a later one takes its place, the same one again changes nothing.

    Args:
        caller: the device as it was let in, by the key that is pinned.
        pem: a public key, `PUBLIC KEY`.

    Raises:
        InvalidInputError: `next-key-malformed` (not EC P-256, P-384 or P-521), `next-key-current`, `next-key-replaced`,
            `next-key-taken`.
        RefusedError: `device-key-mismatch`: the device is gone, or its key was promoted meanwhile.
            `device-quarantined`.
    """
    device = uow.devices.find(caller.factory_id, caller.uuid)
    if device is None or device.spki_sha256 != caller.spki_sha256:
        raise RefusedError("device-key-mismatch", f"Device {caller.uuid} has another key by now; announce with that.")
    if device.quarantined_at is not None:
        # A worker that has not heard of it yet let the device in; the key announced now could be that of a copy.
        refused = refuse_quarantined(device.uuid, device.quarantined_at)
        raise RefusedError(refused.code, refused.detail)
    key = _read_key(pem)
    if key == device.spki_sha256:
        raise InvalidInputError("next-key-current", "This is the key the device has already; a next one is another.")
    if key == device.next_spki_sha256:
        return device
    _require_free(uow, device, key)
    changed = replace(device, next_spki_sha256=key, next_key_at=now)
    uow.devices.replace_key(changed)
    event = AuditEvent(
        device.factory_id,
        now,
        device_actor(device.uuid),
        EventKind.DEVICE_KEY_ANNOUNCED,
        device.uuid,
        {"key-sha256": key.hex(), "by": "device"},
    )
    uow.audit.append(event)
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return changed


def cancel_rotation(uow: UnitOfWork, ref: DeviceRef, *, by: Principal, now: datetime) -> Device:
    """Forget the key a device announced, and unlock its configuration; the present key stays good.

    A device that holds a certificate over the forgotten key has to announce it again, with its old key.

    Raises:
        NotFoundError: `device-unknown`, `rotation-none`.
    """
    device = find_device(uow, by.factory, ref)
    if device.next_spki_sha256 is None:
        raise NotFoundError("rotation-none", f"Device {device.name} has announced no next key, so nothing is locked.")
    changed = replace(device, next_spki_sha256=None, next_key_at=None)
    uow.devices.replace_key(changed)
    details = {"key-sha256": device.next_spki_sha256.hex()}
    uow.audit.append(by.event(EventKind.DEVICE_ROTATION_CANCELLED, device.uuid, details, at=now))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return changed


def _read_key(pem: str) -> bytes:
    try:
        key = parse_ec_public_key(pem)
    except InvalidInputError as error:
        raise InvalidInputError("next-key-malformed", f"next_pubkey: {error.detail}") from error
    if not KeyPolicy().accepts(key):
        raise InvalidInputError("next-key-malformed", "next_pubkey: the key is not on P-256, P-384 or P-521.")
    return spki_sha256(key)


def _require_free(uow: UnitOfWork, device: Device, key: bytes) -> None:
    try:
        uow.devices.require_free_key(device, key)
    except ConflictError as conflict:
        code = "next-key-replaced" if conflict.code == "device-key-replaced" else "next-key-taken"
        raise InvalidInputError(code, conflict.detail) from conflict
