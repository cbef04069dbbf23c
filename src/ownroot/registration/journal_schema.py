"""The tables of the journal. Times are UTC text (`2026-11-26T08:00:00Z`), serials decimal text, hashes octets.

Unique constraints decide who gets a uuid, a name and a key; a request that came second is told so, whatever raced.
"""

from typing import Final

VERSION: Final = 1

SCHEMA: Final = (
    # `serial` is that of the certificate that counts; NULL while the device's first one is being signed.
    """CREATE TABLE devices (
        uuid TEXT PRIMARY KEY,
        uuid_folded TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL UNIQUE,
        spki_sha256 BLOB NOT NULL UNIQUE,
        hardware_id TEXT NOT NULL,
        device_group TEXT,
        tags TEXT,
        operator TEXT NOT NULL,
        registered_at TEXT NOT NULL,
        serial TEXT UNIQUE
    ) STRICT""",
    # A row without `der` and without `voided_at` is an intent: recorded before the key was used.
    """CREATE TABLE certificates (
        serial TEXT PRIMARY KEY,
        uuid TEXT NOT NULL,
        spki_sha256 BLOB NOT NULL,
        issuer_sha256 BLOB NOT NULL,
        request_sha256 BLOB NOT NULL,
        operator TEXT NOT NULL,
        intended_at TEXT NOT NULL,
        not_after TEXT NOT NULL,
        der BLOB,
        voided_at TEXT
    ) STRICT""",
    "CREATE UNIQUE INDEX one_open_intent ON certificates (uuid) WHERE der IS NULL AND voided_at IS NULL",
    # One row. Kept, not counted: a count over all certificates would cost more with every device.
    """CREATE TABLE counts (
        day TEXT NOT NULL,
        issued_today INTEGER NOT NULL,
        noted_today INTEGER NOT NULL,
        issued INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO counts (day, issued_today, noted_today, issued) VALUES ('', 0, 0, 0)",
    """CREATE TABLE log (
        entry INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        decision TEXT NOT NULL,
        code TEXT NOT NULL,
        uuid TEXT NOT NULL,
        name TEXT NOT NULL,
        hardware_id TEXT NOT NULL,
        operator TEXT NOT NULL,
        client_address TEXT NOT NULL,
        key_sha256 BLOB,
        request_sha256 BLOB,
        serial TEXT
    ) STRICT""",
    "CREATE TRIGGER log_is_not_rewritten BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END",
    "CREATE TRIGGER log_is_not_shortened BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END",
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        target TEXT NOT NULL,
        serial TEXT NOT NULL REFERENCES certificates (serial),
        state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'dead', 'dropped')),
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at INTEGER NOT NULL DEFAULT 0,
        made_at INTEGER NOT NULL,
        settled_at INTEGER,
        fault TEXT NOT NULL DEFAULT '',
        UNIQUE (target, serial)
    ) STRICT""",
    "CREATE INDEX outbox_waiting ON outbox (target, id) WHERE state = 'waiting'",
    "CREATE INDEX outbox_dead ON outbox (target, id) WHERE state = 'dead'",
    """CREATE TABLE targets (
        name TEXT PRIMARY KEY,
        resumes_at INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        fault TEXT NOT NULL DEFAULT '',
        is_alarm INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE TABLE tokens (name TEXT PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, made_at TEXT NOT NULL) STRICT",
)
