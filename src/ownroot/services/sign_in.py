"""People sign in with name and password, for the pages; a session is a secret in their browser, kept here as a hash."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import UnauthenticatedError
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import User
from ownroot.services.steps import Steps
from ownroot.services.tokens import new_token, token_sha256

SESSION_LIFETIME: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Account:
    """A user who can sign in; `phc` is what to compare the password with."""

    user: User
    phc: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody with a session; the secret goes into their cookie."""

    user: User
    secret: str
    expires_at: datetime


def find_account(uow: UnitOfWork, name: str) -> Account | None:
    """Return whoever signs in under this name; None if nobody does."""
    user = uow.accounts.find_user_by_name(name)
    phc = None if user is None else uow.logins.find_password(user.polis_id)
    return None if user is None or phc is None else Account(user, phc)


def open_session(account: Account, *, peer: str, now: datetime) -> Steps[SignedIn]:
    """Begin the session of somebody whose password was right.

    Raises:
        UnauthenticatedError: `sign-in-refused`: the password was changed while it was compared.
    """
    secret = new_token()
    ends = now + SESSION_LIFETIME

    def store(uow: UnitOfWork) -> SignedIn:
        polis_id = account.user.polis_id
        if uow.logins.find_password(polis_id) != account.phc:
            raise wrong_password()
        uow.logins.add_session(polis_id, secret_sha256=token_sha256(secret), now=now, expires_at=ends)
        uow.audit.append(AuditEvent(None, now, polis_id, EventKind.LOGIN_ACCEPTED, polis_id, {"client": peer}))
        return SignedIn(account.user, secret, ends)

    signed_in: SignedIn = yield store
    return signed_in


def find_session(uow: UnitOfWork, secret: str, *, now: datetime) -> SignedIn | None:
    """Return whose session a secret is; None if it is nobody's, or has ended."""
    session = uow.logins.find_session(token_sha256(secret))
    if session is None or session.expires_at <= now:
        return None
    user = uow.accounts.find_user(session.polis_id)
    return None if user is None else SignedIn(user, secret, session.expires_at)


def close_session(secret: str) -> Steps[None]:
    """End a session; no error if there is none."""
    yield lambda uow: uow.logins.delete_session(token_sha256(secret))


def wrong_password() -> UnauthenticatedError:
    """The one refusal of a sign-in, whatever was wrong with it."""
    return UnauthenticatedError("sign-in-refused", "Name and password do not go together.")
