"""The two transactions around the signature of a device certificate, and how the first one is taken back.

`reserve` decides who gets uuid, name and key, counts against the quota and records the intent to sign; `complete` makes
the certificate count and queues its announcements. Between the two the CA's key is used and anything may happen: what
is still open at the next start never left this machine, and is taken back.

Source: registration.md §8; architecture.md §8, P1-P3, P7.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography import x509

from ownroot.errors import ConflictError
from ownroot.pki.encoding import certificate_der, load_certificate_der
from ownroot.pki.issuance import Plan
from ownroot.pki.serials import serial_text
from ownroot.registration.applicant import Applicant
from ownroot.registration.counts import count_issued, uncount_issued
from ownroot.registration.decisions import Decision, LogEntry, about, append, note
from ownroot.registration.outbox import enqueue
from ownroot.registration.policy import Reregistration, SitePolicy
from ownroot.registration.times import parse_time, time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the site adds to a device: the name it goes by, its group, and the tags in its settings."""

    name: str
    group: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """What an applicant would get: a planned certificate and a place."""

    applicant: Applicant
    placement: Placement
    plan: Plan
    issuer_sha256: bytes

    @property
    def serial(self) -> str:
        """Of the planned certificate, decimal."""
        return serial_text(self.plan.contents.serial)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that counts, and the device's place."""

    certificate: x509.Certificate
    placement: Placement


class Reason(StrEnum):
    """Why a certificate is signed; the log's word for it is the same."""

    FIRST = Decision.REGISTERED
    RENEWED = Decision.RENEWED
    REPLACED = Decision.REPLACED


@dataclass(frozen=True, slots=True)
class _Known:
    """A device's row with its present certificate; `der` is None while the first one is being signed."""

    uuid: str
    spki_sha256: bytes
    operator: str
    registered_at: str
    placement: Placement
    der: bytes | None
    issuer_sha256: bytes | None
    not_after: str | None


def find_issued(connection: sqlite3.Connection, applicant: Applicant, issuer_sha256: bytes) -> Issued | None:
    """Return the certificate this very key already has from the present CA and that is still valid, or None."""
    known, _others = _find(connection, applicant, applicant.name)
    return None if known is None else _still_good(known, applicant, issuer_sha256)


def reserve(connection: sqlite3.Connection, claim: Claim, policy: SitePolicy) -> Reason | Issued:
    """Hold the uuid and record the intent to sign, or find that this very key has its certificate already.

    Raises:
        RefusedError: `quota-used-up`.
        ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`.
    """
    applicant = claim.applicant
    known, others = _find(connection, applicant, claim.placement.name)
    if known is not None and (issued := _still_good(known, applicant, claim.issuer_sha256)) is not None:
        note_repeated(connection, applicant, issued)
        return issued
    if known is not None and _release_leftovers(connection, applicant):
        known, others = _find(connection, applicant, claim.placement.name)
    today, total = count_issued(connection, applicant.at)
    policy.quota.demand_room(today=today - 1, total=total - 1)
    reason = _reason(known, applicant, policy)
    _demand_free(others, claim)
    if reason is Reason.FIRST:
        _insert_device(connection, claim)
    connection.execute(
        "INSERT INTO certificates (serial, uuid, spki_sha256, issuer_sha256, request_sha256, operator, intended_at,"
        " not_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            claim.serial,
            applicant.uuid,
            applicant.spki_sha256,
            claim.issuer_sha256,
            applicant.request_sha256,
            applicant.sender.name,
            time_text(applicant.at),
            time_text(claim.plan.contents.not_after),
        ),
    )
    return reason


def _release_leftovers(connection: sqlite3.Connection, applicant: Applicant) -> bool:
    """Take back what an earlier request for this uuid left open when the journal failed it; says if there was any.

    Requests for one uuid take turns, so whoever opened it is gone.
    """
    serials = connection.execute(
        "SELECT serial FROM certificates WHERE uuid = ? AND der IS NULL AND voided_at IS NULL", (applicant.uuid,)
    ).fetchall()
    for (serial,) in serials:
        release(connection, serial, applicant.at)
    return bool(serials)


def note_repeated(connection: sqlite3.Connection, applicant: Applicant, issued: Issued) -> None:
    """Write down that a certificate was asked for again."""
    note(connection, about(applicant, Decision.REPEATED, serial=serial_text(issued.certificate.serial_number)))


def complete(
    connection: sqlite3.Connection,
    claim: Claim,
    certificate: x509.Certificate,
    reason: Reason,
    targets: Iterable[str],
) -> Issued:
    """Make the signed certificate count: device, log and announcements in one transaction.

    Raises:
        ConflictError: `registration-superseded`, the intent was closed meanwhile; `device-name-taken`,
            `device-key-taken`.
    """
    stored = connection.execute(
        "UPDATE certificates SET der = ? WHERE serial = ? AND der IS NULL AND voided_at IS NULL",
        (certificate_der(certificate), claim.serial),
    )
    if stored.rowcount != 1:
        raise ConflictError("registration-superseded", "The registration took too long and was taken back. Try again.")
    applicant, placement = claim.applicant, claim.placement
    if reason is Reason.FIRST:
        connection.execute("UPDATE devices SET serial = ? WHERE uuid = ?", (claim.serial, applicant.uuid))
    else:
        _demand_free(_find(connection, applicant, placement.name)[1], claim)
        connection.execute("DELETE FROM devices WHERE uuid = ?", (applicant.uuid,))
        _insert_device(connection, claim, serial=claim.serial)
    append(connection, about(applicant, Decision(reason.value), name=placement.name, serial=claim.serial))
    enqueue(connection, claim.serial, targets, at=applicant.at)
    return Issued(certificate, placement)


def release(connection: sqlite3.Connection, serial: str, now: datetime) -> None:
    """Take a reservation back after a failure; one that was completed all the same stays."""
    row = connection.execute(
        "UPDATE certificates SET voided_at = ? WHERE serial = ? AND der IS NULL AND voided_at IS NULL"
        " RETURNING uuid, spki_sha256, request_sha256, operator, intended_at",
        (time_text(now), serial),
    ).fetchone()
    if row is None:
        return
    uuid, spki_sha256, request_sha256, operator, intended_at = row
    connection.execute("DELETE FROM devices WHERE uuid = ? AND serial IS NULL", (uuid,))
    uncount_issued(connection, parse_time(intended_at))
    entry = LogEntry(
        at=now,
        decision=Decision.VOIDED,
        uuid=uuid,
        operator=operator,
        key_sha256=spki_sha256,
        request_sha256=request_sha256,
        serial=serial,
    )
    append(connection, entry)


def take_back_what_a_crash_left(connection: sqlite3.Connection, now: datetime) -> int:
    """Release every open intent; for a server that is alone and has signed nothing yet. Returns how many there were."""
    serials = [
        serial
        for (serial,) in connection.execute("SELECT serial FROM certificates WHERE der IS NULL AND voided_at IS NULL")
    ]
    for serial in serials:
        release(connection, serial, now)
    return len(serials)


def _reason(known: _Known | None, applicant: Applicant, policy: SitePolicy) -> Reason:
    if known is None:
        return Reason.FIRST
    if known.spki_sha256 == applicant.spki_sha256:
        return Reason.RENEWED
    if policy.reregistration is Reregistration.REPLACE:
        return Reason.REPLACED
    raise _uuid_taken(known)


def _demand_free(others: Sequence[_Known], claim: Claim) -> None:
    """Refuse a name, a key or a spelling of the uuid that is another device's."""
    applicant, name = claim.applicant, claim.placement.name
    if not others:
        return
    other = others[0]
    if other.uuid.lower() == applicant.uuid.lower():
        raise ConflictError(
            "device-uuid-case-twin",
            f"Device uuid already in use: {applicant.uuid} differs from a known device only in upper and lower case.",
            fields={"uuid": "in use"},
        )
    if other.spki_sha256 == applicant.spki_sha256:
        raise ConflictError(
            "device-key-taken",
            f"The key of device {applicant.uuid} already belongs to another device. Every device makes a key of its "
            "own: was an image cloned after its first start?",
            fields={"csr": "key in use"},
        )
    if other.placement.name == applicant.uuid:
        raise ConflictError(
            "device-uuid-taken",
            f"Device uuid already in use: another device goes by the name {applicant.uuid}.",
            fields={"uuid": "in use as a name"},
        )
    raise ConflictError("device-name-taken", f"Device name already in use: {name}", fields={"name": "in use"})


def _uuid_taken(known: _Known) -> ConflictError:
    who = known.operator or "A station without a token"
    return ConflictError(
        "device-uuid-taken",
        f"Device uuid already in use: {known.uuid}. {who} registered it with another key on "
        f"{parse_time(known.registered_at):%Y-%m-%d %H:%M:%S} UTC. If this board replaces that one, the operator of "
        "this server allows it with --reregister replace.",
        fields={"uuid": "in use"},
    )


def _still_good(known: _Known, applicant: Applicant, issuer_sha256: bytes) -> Issued | None:
    if known.der is None or known.not_after is None or known.spki_sha256 != applicant.spki_sha256:
        return None
    if known.issuer_sha256 != issuer_sha256 or parse_time(known.not_after) < applicant.at:
        return None
    return Issued(load_certificate_der(known.der), known.placement)


def _find(connection: sqlite3.Connection, applicant: Applicant, name: str) -> tuple[_Known | None, list[_Known]]:
    """Return the applicant's own row, and those of others that have something it wants."""
    rows = connection.execute(
        "SELECT d.uuid, d.spki_sha256, d.operator, d.registered_at, d.name, d.device_group, d.tags, c.der,"
        " c.issuer_sha256, c.not_after FROM devices d LEFT JOIN certificates c ON c.serial = d.serial"
        " WHERE d.uuid IN (?1, ?2) OR d.uuid_folded = ?3 OR d.name IN (?1, ?2) OR d.spki_sha256 = ?4",
        (applicant.uuid, name, applicant.uuid.lower(), applicant.spki_sha256),
    ).fetchall()
    found = [_known(*row) for row in rows]
    own = next((known for known in found if known.uuid == applicant.uuid), None)
    return own, [known for known in found if known is not own]


def _known(uuid: str, spki_sha256: bytes, operator: str, registered_at: str, *rest: Any) -> _Known:
    name, group, tags, der, issuer_sha256, not_after = rest
    placement = Placement(name=name, group=group, tags=tuple(tags.split(",")) if tags else ())
    return _Known(uuid, spki_sha256, operator, registered_at, placement, der, issuer_sha256, not_after)


def _insert_device(connection: sqlite3.Connection, claim: Claim, *, serial: str | None = None) -> None:
    applicant, placement = claim.applicant, claim.placement
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
