"""The row of a device: how it is made of a credential and of what somebody says about the device, and how it is stored.

Everything that refuses comes before anything is stored, so that a refusal leaves nothing behind even where it concerns
one device of many. Nothing here is audited; callers say who did it and why.
"""

from dataclasses import dataclass
from datetime import datetime

from ownroot.errors import ConflictError
from ownroot.pki.encoding import certificate_sha256, sha256
from ownroot.pki.names import DeviceUuid
from ownroot.services.authority import Principal
from ownroot.services.device_conflicts import (
    denied,
    parse_device_name,
    require_no_name_of_another,
    require_no_uuid_of_another,
    worded,
)
from ownroot.services.device_groups import require_group
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Device, GroupRef
from ownroot.trust.device_identity import Identified

# Issuers are SHA-256 digests and serials positive, so these name none; the first check-in stores the real ones.
_NO_ISSUER, _NO_SERIAL = b"", 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a device is known by: its uuid and key, and which CA vouched for them last."""

    uuid: DeviceUuid
    spki_der: bytes
    production: bool
    issuer_sha256: bytes = _NO_ISSUER
    issuer_serial: int = _NO_SERIAL
    not_after: datetime | None = None

    @classmethod
    def of(cls, identified: Identified) -> "Credential":
        """Take it from a certificate that a trusted device CA signed."""
        return cls(
            uuid=identified.uuid,
            spki_der=identified.spki_der,
            production=identified.production,
            issuer_sha256=certificate_sha256(identified.issuer.certificate),
            issuer_serial=identified.issuer.serial,
            not_after=identified.certificate.not_valid_after_utc,
        )


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose a new device is: of which factory, of which user (polis-id), since when."""

    factory_id: int
    owner: str
    since: datetime


def make_row(credential: Credential, ownership: Ownership, *, name: str, group: GroupRef | None = None) -> Device:
    """Return the row of a new device; name and group are checked."""
    return Device(
        factory_id=ownership.factory_id,
        uuid=credential.uuid,
        name=name,
        owner=ownership.owner,
        spki_der=credential.spki_der,
        spki_sha256=sha256(credential.spki_der),
        production=credential.production,
        issuer_sha256=credential.issuer_sha256,
        issuer_serial=credential.issuer_serial,
        created_at=ownership.since,
        group=group,
        not_after=credential.not_after,
    )


def make_described_row(  # noqa: PLR0913  (a device, the two things said about it, and the caller's moment)
    uow: UnitOfWork, credential: Credential, *, name: str | None, group: str | None, by: Principal, now: datetime
) -> Device:
    """Return the row of a device that will be the caller's, called and grouped as a request says.

    Args:
        name, group: unverified. `name` None means: the uuid.
    Raises:
        InvalidInputError: `name-invalid`, `group-unknown`.
    """
    ownership = Ownership(by.factory.id, by.user.polis_id, now)
    ref = None if group is None else require_group(uow, by.factory, group).ref
    return make_row(credential, ownership, name=parse_device_name(name or credential.uuid), group=ref)


def require_free(uow: UnitOfWork, wanted: Device) -> None:
    """Refuse what no unique constraint would: a device that was deleted, a name that is the uuid of another or a uuid
    that is the name of another.

    Raises:
        ConflictError: `device-denied`, `device-name-taken`, `device-uuid-is-name`.
    """
    if uow.devices.find_denied(wanted.factory_id, wanted.uuid) is not None:
        raise denied(wanted.uuid)
    require_no_uuid_of_another(uow, wanted)
    require_no_name_of_another(uow, wanted)


def add_row(uow: UnitOfWork, wanted: Device) -> None:
    """Store a new device that `require_free` let pass.

    Raises:
        ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`.
    """
    try:
        uow.devices.add(wanted)
    except ConflictError as error:
        raise worded(error, uuid=wanted.uuid, name=wanted.name) from None


def take_over_row(uow: UnitOfWork, wanted: Device) -> None:
    """Put a device that `require_free` let pass in the place of the one known under its uuid.

    Raises:
        ConflictError: `device-name-taken`, `device-key-taken`.
    """
    try:
        uow.devices.replace_key(wanted)
        uow.devices.describe(wanted)
    except ConflictError as error:
        raise worded(error, uuid=wanted.uuid, name=wanted.name) from None
