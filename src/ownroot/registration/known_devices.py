"""The devices a site knows: their rows, and in which words a newcomer is told that something is another device's.

Source: registration.md §8.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ownroot.errors import ConflictError
from ownroot.registration.applicant import Applicant
from ownroot.registration.times import parse_time, time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the site adds to a device: the name it goes by, its group, and the tags in its settings."""

    name: str
    group: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device's row with its present certificate; `der` is None while the first one is being signed."""

    uuid: str
    spki_sha256: bytes
    operator: str
    registered_at: str
    placement: Placement
    der: bytes | None
    issuer_sha256: bytes | None
    not_after: str | None


def find_known(
    connection: sqlite3.Connection, applicant: Applicant, name: str
) -> tuple[KnownDevice | None, list[KnownDevice]]:
    """Return the applicant's own row, and those of others that have something it wants."""
    rows = connection.execute(
        "SELECT d.uuid, d.spki_sha256, d.operator, d.registered_at, d.name, d.device_group, d.tags, c.der,"
        " c.issuer_sha256, c.not_after FROM devices d LEFT JOIN certificates c ON c.serial = d.serial"
        " WHERE d.uuid IN (?1, ?2) OR d.uuid_folded = ?3 OR d.name IN (?1, ?2) OR d.spki_sha256 = ?4",
        (applicant.uuid, name, applicant.uuid.lower(), applicant.spki_sha256),
    ).fetchall()
    found = [_read(*row) for row in rows]
    own = next((known for known in found if known.uuid == applicant.uuid), None)
    return own, [known for known in found if known is not own]


def insert_device(
    connection: sqlite3.Connection, applicant: Applicant, placement: Placement, *, serial: str | None = None
) -> None:
    """Add a device; without a serial its first certificate is still being signed."""
    connection.execute(
        "INSERT INTO devices (uuid, uuid_folded, name, spki_sha256, hardware_id, device_group, tags, operator,"
        " registered_at, serial) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            applicant.uuid,
            applicant.uuid.lower(),
            placement.name,
            applicant.spki_sha256,
            applicant.hardware_id,
            placement.group,
            ",".join(placement.tags) or None,
            applicant.sender.name,
            time_text(applicant.at),
            serial,
        ),
    )


def demand_free(others: Sequence[KnownDevice], applicant: Applicant, name: str) -> None:
    """Refuse a name, a key or a spelling of the uuid that is another device's.

    Several devices may stand in the way, in whatever order the store found them: the reason told is the first of these.

    Raises:
        ConflictError: `device-uuid-case-twin`, `device-key-taken`, `device-uuid-taken`, `device-name-taken`.
    """
    if not others:
        return
    if any(other.uuid.lower() == applicant.uuid.lower() for other in others):
        raise ConflictError(
            "device-uuid-case-twin",
            f"Device uuid already in use: {applicant.uuid} differs from a known device only in upper and lower case.",
            fields={"uuid": "in use"},
        )
    if any(other.spki_sha256 == applicant.spki_sha256 for other in others):
        raise ConflictError(
            "device-key-taken",
            f"The key of device {applicant.uuid} already belongs to another device. Every device makes a key of its "
            "own: was an image cloned after its first start?",
            fields={"csr": "key in use"},
        )
    if any(other.placement.name == applicant.uuid for other in others):
        raise ConflictError(
            "device-uuid-taken",
            f"Device uuid already in use: another device goes by the name {applicant.uuid}.",
            fields={"uuid": "in use as a name"},
        )
    raise ConflictError("device-name-taken", f"Device name already in use: {name}", fields={"name": "in use"})


def uuid_taken(known: KnownDevice) -> ConflictError:
    """Say who has the uuid and since when."""
    who = known.operator or "A station without a token"
    return ConflictError(
        "device-uuid-taken",
        f"Device uuid already in use: {known.uuid}. {who} registered it with another key on "
        f"{parse_time(known.registered_at):%Y-%m-%d %H:%M:%S} UTC. If this board replaces that one, the operator of "
        "this server allows it with --reregister replace.",
        fields={"uuid": "in use"},
    )


def _read(uuid: str, spki_sha256: bytes, operator: str, registered_at: str, *rest: Any) -> KnownDevice:
    name, group, tags, der, issuer_sha256, not_after = rest
    placement = Placement(name=name, group=group, tags=tuple(tags.split(",")) if tags else ())
    return KnownDevice(uuid, spki_sha256, operator, registered_at, placement, der, issuer_sha256, not_after)
