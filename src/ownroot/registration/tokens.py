"""Tokens of stations: each has a name, which the log keeps with every device; the journal holds only their hashes."""

import hashlib
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from ownroot.errors import ConflictError, NotFoundError
from ownroot.pki.names import parse_resource_name
from ownroot.registration.times import time_text

_PREFIX = "own_"


@dataclass(frozen=True, slots=True)
class StationToken:
    """A token as an operator sees it."""

    name: str
    made_at: str


def add_token(connection: sqlite3.Connection, name: str, *, now: datetime) -> str:
    """Make a token and return it; it is not kept.

    Raises:
        InvalidInputError: `name-invalid`.
        ConflictError: `token-name-taken`.
    """
    token = _PREFIX + secrets.token_urlsafe(32)
    added = connection.execute(
        "INSERT INTO tokens (name, sha256, made_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (parse_resource_name(name), _digest(token), time_text(now)),
    )
    if added.rowcount != 1:
        raise ConflictError("token-name-taken", f"There is a token for {name} already. Remove it or name another.")
    return token


def remove_token(connection: sqlite3.Connection, name: str) -> None:
    """Take a token out of use at once. Raises NotFoundError `no-such-token`."""
    if connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount != 1:
        raise NotFoundError("no-such-token", f"There is no token for {name!r}.")


def list_tokens(connection: sqlite3.Connection) -> list[StationToken]:
    """Return all tokens by name."""
    return [StationToken(*row) for row in connection.execute("SELECT name, made_at FROM tokens ORDER BY name")]


def find_station(connection: sqlite3.Connection, token: str) -> str | None:
    """Return the name of the station this token belongs to, or None."""
    row = connection.execute("SELECT name FROM tokens WHERE sha256 = ?", (_digest(token),)).fetchone()
    return None if row is None else str(row[0])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
