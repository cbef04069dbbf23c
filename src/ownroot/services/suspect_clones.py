"""Judge signs of a copied device key, put a device under suspicion, and let its owner end that (`fleet.clones`).

A device is put under suspicion once; what comes later adds nothing until its owner releases it. What follows besides
being told is for the owner's policy to say: nothing, or a quarantine, in which the gateways refuse the device and cut
its connections.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from ownroot.audit.events import SERVER, AuditEvent, EventKind
from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.fleet.clones import CloneSign, are_of_a_copy, count_return
from ownroot.services.authority import Principal
from ownroot.services.manage_devices import DeviceRef, find_device
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, ClonePolicy, Device, NetworkUse, Suspicion

_REASON_LENGTH = 200


def record_network_uses(uses: Sequence[NetworkUse]) -> Callable[[UnitOfWork], None]:
    """Return the work that stores where keys were used.

    What was noted of a device that is gone, of a key it has replaced or before its last release changes nothing. That a
    release came first is told by what the gateway had heard of then: no clocks of two machines are compared.
    """

    def work(uow: UnitOfWork) -> None:
        for use in uses:
            _record(uow, use)

    return work


def _record(uow: UnitOfWork, use: NetworkUse) -> None:
    device = uow.devices.find(use.factory_id, use.uuid)
    if device is None or (device.spki_sha256, device.released_at) != (use.spki_sha256, use.released_at):
        return
    returns = uow.clones.returns(use.factory_id, use.uuid)
    if use.returned:
        returns = count_return(returns, use.at)
    uow.clones.note_use(use, returns)
    if device.networks[use.network.family] not in (None, use.network.text):
        # Other gateway processes may hold a connection from the other network.
        uow.changes.announce(ChangeKind.DEVICE, use.factory_id, use.uuid)
    if use.returned and are_of_a_copy(returns):
        detail = f"The key is used from {use.other} and from {use.network.text} in turn, on connections that stay open."
        suspect(uow, device, CloneSign.TWO_NETWORKS, detail, now=use.at)


def suspect(uow: UnitOfWork, device: Device, sign: CloneSign, detail: str, *, now: datetime) -> None:
    """Put a device under suspicion, in a write transaction; nothing if it is already."""
    if device.suspicion is not None:
        return
    policy = uow.clones.find_policy(device.factory_id)
    quarantines = policy is not None and policy.quarantines
    suspicion = Suspicion(sign, detail, now, now if quarantines else None)
    uow.clones.suspect(device.factory_id, device.uuid, suspicion)
    details = {"sign": sign.value, "detail": detail, "key-sha256": device.spki_sha256.hex()}
    kind = EventKind.DEVICE_CLONE_SUSPECTED
    uow.audit.append(AuditEvent(device.factory_id, now, SERVER, kind, device.uuid, details))
    if quarantines:
        by_policy = {"reason": "policy"}
        kind = EventKind.DEVICE_QUARANTINED
        uow.audit.append(AuditEvent(device.factory_id, now, SERVER, kind, device.uuid, by_policy))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)


def quarantine_device(uow: UnitOfWork, ref: DeviceRef, reason: str, *, by: Principal, now: datetime) -> Device:
    """Refuse a device until it is released; gateways cut its connections once this is committed.

    One that is in quarantine already stays as it is. What it was suspected of is kept, and the reason put behind it.

    Args:
        reason: unverified, may be empty.
    Raises:
        NotFoundError: `device-unknown`.
        InvalidInputError: `reason-invalid`.
    """
    device = find_device(uow, by.factory, ref)
    said = _read_reason(reason)
    if device.quarantined_at is not None:
        return device
    suspicion = replace(_suspicion_by_hand(device.suspicion, said, now=now), quarantined_at=now)
    uow.clones.suspect(device.factory_id, device.uuid, suspicion)
    uow.audit.append(by.event(EventKind.DEVICE_QUARANTINED, device.uuid, {"reason": said}, at=now))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return replace(device, suspicion=suspicion)


def release_device(uow: UnitOfWork, ref: DeviceRef, reason: str, *, by: Principal, now: datetime) -> Device:
    """End a suspicion and a quarantine. Signs are counted anew, and keys replaced until now are settled.

    Where the key was used until now counts no more either: the next use is no return.

    Args:
        reason: unverified, may be empty.
    Raises:
        NotFoundError: `device-unknown`, `suspicion-none`.
        InvalidInputError: `reason-invalid`.
    """
    device = find_device(uow, by.factory, ref)
    said = _read_reason(reason)
    if device.suspicion is None:
        raise NotFoundError("suspicion-none", f"Device {device.name} is under no suspicion and not in quarantine.")
    uow.clones.release(device.factory_id, device.uuid, at=now)
    details = {"reason": said, "sign": device.suspicion.sign.value}
    uow.audit.append(by.event(EventKind.DEVICE_RELEASED, device.uuid, details, at=now))
    uow.changes.announce(ChangeKind.DEVICE, device.factory_id, device.uuid)
    return replace(device, suspicion=None, networks=(None, None), released_at=now)


def set_clone_policy(uow: UnitOfWork, *, quarantines: bool, by: Principal, now: datetime) -> ClonePolicy:
    """Say what follows when a device's key seems to be copied; devices under suspicion already stay as they are."""
    policy = ClonePolicy(by.factory.id, quarantines, by.user.polis_id, now)
    uow.clones.put_policy(policy)
    details = {"on-suspicion": "quarantine" if quarantines else "tell"}
    uow.audit.append(by.event(EventKind.CLONE_POLICY_SET, by.factory.name, details, at=now))
    return policy


def find_clone_policy(uow: UnitOfWork, by: Principal) -> ClonePolicy | None:
    """Return the policy of the caller's factory; None: nobody said anything, so its owner is told and that is all."""
    return uow.clones.find_policy(by.factory.id)


def _suspicion_by_hand(known: Suspicion | None, said: str, *, now: datetime) -> Suspicion:
    if known is None:
        return Suspicion(CloneSign.OWNER, said or "Its owner said so.", now)
    return replace(known, detail=f"{known.detail} Put in quarantine: {said}") if said else known


def _read_reason(text: str) -> str:
    if len(text) > _REASON_LENGTH or not text.isprintable():
        rule = f"one line of at most {_REASON_LENGTH} characters"
        raise InvalidInputError("reason-invalid", f"A reason is {rule}.", fields={"reason": rule})
    return text.strip()
