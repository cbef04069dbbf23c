"""Passwords and sessions of people."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ownroot.services.login_ports import Session as LoginSession
from ownroot.storage.inserts import insert, upsert
from ownroot.storage.schema import passwords, sessions
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_SET_PASSWORD: Final = upsert(
    passwords,
    "polis_id",
    "phc",
    "set_at",
    conflict=("polis_id",),
    update=lambda new: {"phc": new.phc, "set_at": new.set_at},
)
_FIND_PASSWORD: Final = Statement(sa.select(passwords.c.phc).where(passwords.c.polis_id == param("user")))
_WITH_PASSWORD: Final = Statement(sa.select(passwords.c.polis_id))
_ADD_SESSION: Final = insert(sessions, "polis_id", "secret_sha256", "created_at", "expires_at")
_FIND_SESSION: Final = Statement(
    sa.select(sessions.c.id, sessions.c.polis_id, sessions.c.expires_at).where(
        sessions.c.secret_sha256 == param("secret")
    )
)
_DELETE_SESSION: Final = Statement(sa.delete(sessions).where(sessions.c.secret_sha256 == param("secret")))
_DELETE_SESSIONS: Final = Statement(sa.delete(sessions).where(sessions.c.polis_id == param("user")))
_KEEP_NEWEST: Final = Statement(
    sa.delete(sessions).where(
        sessions.c.polis_id == param("user"),
        sessions.c.id.not_in(
            sa.select(sessions.c.id)
            .where(sessions.c.polis_id == param("user"))
            .order_by(sessions.c.id.desc())
            .limit(param("most"))
        ),
    )
)
_SWEEP: Final = Statement(sa.delete(sessions).where(sessions.c.expires_at <= param("at")))


class SqlLogins:
    """Implements `services.login_ports.Logins`."""

    def __init__(self, session: Session, *, sessions_kept: int) -> None:
        self._session = session
        self._kept = sessions_kept

    def set_password(self, polis_id: str, phc: str, *, now: datetime) -> None:
        self._session.run(_SET_PASSWORD, polis_id=polis_id, phc=phc, set_at=to_seconds(now))
        self._session.run(_DELETE_SESSIONS, user=polis_id)

    def find_password(self, polis_id: str) -> str | None:
        row = self._session.one(_FIND_PASSWORD, user=polis_id)
        return None if row is None else str(row[0])

    def with_password(self) -> frozenset[str]:
        return frozenset(polis_id for (polis_id,) in self._session.all(_WITH_PASSWORD))

    def add_session(self, polis_id: str, *, secret_sha256: bytes, now: datetime, expires_at: datetime) -> None:
        self.sweep(now=now)
        self._session.run(
            _ADD_SESSION,
            polis_id=polis_id,
            secret_sha256=secret_sha256,
            created_at=to_seconds(now),
            expires_at=to_seconds(expires_at),
        )
        self._session.run(_KEEP_NEWEST, user=polis_id, most=self._kept)

    def find_session(self, secret_sha256: bytes) -> LoginSession | None:
        row = self._session.one(_FIND_SESSION, secret=secret_sha256)
        return None if row is None else LoginSession(row[0], row[1], from_seconds(row[2]))

    def delete_session(self, secret_sha256: bytes) -> None:
        self._session.run(_DELETE_SESSION, secret=secret_sha256)

    def sweep(self, *, now: datetime) -> None:
        self._session.run(_SWEEP, at=to_seconds(now))
