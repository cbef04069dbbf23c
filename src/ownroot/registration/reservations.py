"""The two transactions around the signature of a device certificate, and how the first one is taken back.

`reserve` decides who gets uuid, name and key, counts against the quota and records the intent to sign; `complete` makes
the certificate count and queues its announcements. Between the two the CA's key is used and anything may happen: what
is still open at the next start never left this machine, and is taken back.

Source: registration.md §8; architecture.md §8, P1-P3, P7.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from ownroot.errors import ConflictError
from ownroot.pki.encoding import certificate_der, load_certificate_der
from ownroot.pki.issuance import Plan
from ownroot.pki.serials import serial_text
from ownroot.registration.applicant import Applicant
from ownroot.registration.counts import count_issued, uncount_issued
from ownroot.registration.decisions import Decision, LogEntry, about, append, note
from ownroot.registration.known_devices import (
    KnownDevice,
    Placement,
    demand_free,
    find_known,
    insert_device,
    uuid_taken,
)
from ownroot.registration.outbox import enqueue
from ownroot.registration.policy import Reregistration, SitePolicy
from ownroot.registration.times import parse_time, time_text


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


def find_issued(connection: sqlite3.Connection, applicant: Applicant, issuer_sha256: bytes) -> Issued | None:
    """Return the certificate this very key already has from the present CA and that is still valid, or None."""
    known, _others = find_known(connection, applicant, applicant.name)
    return None if known is None else _still_good(known, applicant, issuer_sha256)


def reserve(connection: sqlite3.Connection, claim: Claim, policy: SitePolicy) -> Reason | Issued:
    """Hold the uuid and record the intent to sign, or find that this very key has its certificate already.

    Raises:
        RefusedError: `quota-used-up`.
        ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`.
    """
    applicant = claim.applicant
    known, others = find_known(connection, applicant, claim.placement.name)
    if known is not None and (issued := _still_good(known, applicant, claim.issuer_sha256)) is not None:
        note_repeated(connection, applicant, issued)
        return issued
    if known is not None and _release_leftovers(connection, applicant):
        known, others = find_known(connection, applicant, claim.placement.name)
    today, total = count_issued(connection, applicant.at)
    policy.quota.demand_room(today=today - 1, total=total - 1)
    reason = _reason(known, applicant, policy)
    demand_free(others, applicant, claim.placement.name)
    if reason is Reason.FIRST:
        insert_device(connection, applicant, claim.placement)
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
        demand_free(find_known(connection, applicant, placement.name)[1], applicant, placement.name)
        connection.execute("DELETE FROM devices WHERE uuid = ?", (applicant.uuid,))
        insert_device(connection, applicant, placement, serial=claim.serial)
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


def _reason(known: KnownDevice | None, applicant: Applicant, policy: SitePolicy) -> Reason:
    if known is None:
        return Reason.FIRST
    if known.spki_sha256 == applicant.spki_sha256:
        return Reason.RENEWED
    if policy.reregistration is Reregistration.REPLACE:
        return Reason.REPLACED
    raise uuid_taken(known)


def _still_good(known: KnownDevice, applicant: Applicant, issuer_sha256: bytes) -> Issued | None:
    if known.der is None or known.not_after is None or known.spki_sha256 != applicant.spki_sha256:
        return None
    if known.issuer_sha256 != issuer_sha256 or parse_time(known.not_after) < applicant.at:
        return None
    return Issued(load_certificate_der(known.der), known.placement)
