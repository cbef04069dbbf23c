"""The append-only log of a site: every request that was understood, what was decided, and which certificate left.

What is not understood (no JSON, no CSR, a broken signature) is answered and counted, never stored: the senders have
proven nothing, and strangers must not fill a disk.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ownroot.pki.encoding import sha256
from ownroot.registration.applicant import Applicant
from ownroot.registration.counts import count_noted
from ownroot.registration.times import time_text

# Repeats and refusals are the sender's to multiply; certificates are limited by the quota.
NOTED_PER_DAY: Final = 20_000

COLUMNS: Final = (
    "entry",
    "at",
    "decision",
    "code",
    "uuid",
    "name",
    "hardware-id",
    "operator",
    "client-address",
    "key-sha256",
    "request-sha256",
    "serial",
    "not-after",
    "certificate-sha256",
)


class Decision(StrEnum):
    """What became of a request, or what the operator did to an announcement."""

    REGISTERED = "registered"
    RENEWED = "renewed"
    REPLACED = "replaced"
    REPEATED = "repeated"
    REFUSED = "refused"
    VOIDED = "voided"
    DROPPED = "announcement-dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of the log; what does not apply is empty. `code` names the rule of a refusal."""

    at: datetime
    decision: Decision
    uuid: str
    code: str = ""
    name: str = ""
    hardware_id: str = ""
    operator: str = ""
    client_address: str = ""
    key_sha256: bytes | None = None
    request_sha256: bytes | None = None
    serial: str | None = None


def about(
    applicant: Applicant, decision: Decision, *, name: str = "", code: str = "", serial: str | None = None
) -> LogEntry:
    """Say what was decided about an applicant; `name` is the one it goes by in the end."""
    return LogEntry(
        at=applicant.at,
        decision=decision,
        uuid=applicant.uuid,
        code=code,
        name=name or applicant.name,
        hardware_id=applicant.hardware_id,
        operator=applicant.sender.name,
        client_address=applicant.sender.address,
        key_sha256=applicant.spki_sha256,
        request_sha256=applicant.request_sha256,
        serial=serial,
    )


def append(connection: sqlite3.Connection, entry: LogEntry) -> None:
    """Write an entry at the end of the log."""
    connection.execute(
        "INSERT INTO log (at, decision, code, uuid, name, hardware_id, operator, client_address, key_sha256,"
        " request_sha256, serial) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            time_text(entry.at),
            entry.decision.value,
            entry.code,
            entry.uuid,
            entry.name,
            entry.hardware_id,
            entry.operator,
            entry.client_address,
            entry.key_sha256,
            entry.request_sha256,
            entry.serial,
        ),
    )


def note(connection: sqlite3.Connection, entry: LogEntry) -> None:
    """Write what costs the sender nothing to repeat; beyond `NOTED_PER_DAY` a day it is counted only."""
    if count_noted(connection, entry.at) <= NOTED_PER_DAY:
        append(connection, entry)


def last_entry_at(connection: sqlite3.Connection) -> str | None:
    """Return the time of the newest entry, or None while there is none."""
    row = connection.execute("SELECT at FROM log ORDER BY entry DESC LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def read_entries(connection: sqlite3.Connection, *, since: datetime | None = None) -> list[tuple[object, ...]]:
    """Return the log as rows of `COLUMNS`, oldest first, hashes in hex; `since`: only entries from then on."""
    rows = connection.execute(
        "SELECT l.entry, l.at, l.decision, l.code, l.uuid, l.name, l.hardware_id, l.operator, l.client_address,"
        " lower(hex(l.key_sha256)), lower(hex(l.request_sha256)), coalesce(l.serial, ''), coalesce(c.not_after, ''),"
        " c.der FROM log l LEFT JOIN certificates c ON c.serial = l.serial WHERE l.at >= ? ORDER BY l.entry",
        ("" if since is None else time_text(since),),
    )
    return [(*row, "" if der is None else sha256(der).hex()) for *row, der in rows]
