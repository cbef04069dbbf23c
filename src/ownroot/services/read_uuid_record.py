"""What a factory has on record under a uuid, for whoever decides about a device that calls itself so.

A request to register shows no key yet. So a known uuid may be the same device again, a board that replaces it, or
somebody who read the uuid off a label; the person who decides has to hear that there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ownroot.pki.names import DeviceUuid
from ownroot.services.effective_pki import is_unclaimed
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import DeniedDevice, Device, Factory, HeldDevice, User


@dataclass(frozen=True, slots=True, kw_only=True)
class UuidRecord:
    """What is known under a uuid, in one moment.

    Attributes:
        known: the device that has the uuid, and `owner`, whose it is.
        is_unclaimed: that device is from before a take-over, so any key may take its place.
        denied: its entry on the deny list, and `denied_by`, whose verdict that is.
        waiting: keys that wait for review after a restore, oldest first.
        has_case_twin: a device is known whose uuid differs in upper and lower case alone.
    """

    known: Device | None = None
    owner: User | None = None
    is_unclaimed: bool = False
    denied: DeniedDevice | None = None
    denied_by: User | None = None
    waiting: Sequence[HeldDevice] = ()
    has_case_twin: bool = False


def read_uuid_record(uow: UnitOfWork, factory: Factory, uuid: DeviceUuid) -> UuidRecord:
    """Look a uuid up wherever a registration under it would meet something."""
    known = uow.devices.find(factory.id, uuid)
    denied = uow.devices.find_denied(factory.id, uuid)
    held = uow.held_devices.of_uuid(factory.id, uuid)
    return UuidRecord(
        known=known,
        owner=None if known is None else _user(uow, known.owner),
        is_unclaimed=known is not None and is_unclaimed(uow, known),
        denied=denied,
        denied_by=None if denied is None else _user(uow, denied.denied_by),
        waiting=tuple(entry for entry in held if entry.refused_at is None),
        has_case_twin=known is None and uow.devices.has_case_twin(factory.id, uuid),
    )


def _user(uow: UnitOfWork, polis_id: str) -> User:
    return uow.accounts.find_user(polis_id) or User(polis_id, polis_id)
