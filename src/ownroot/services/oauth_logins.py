"""Logins of OAuth clients: an access token for an hour, and a refresh token for the next one.

A refresh token is good for one use, and its successor comes with the answer. Because an answer can get lost, and two
commands of one user may refresh at once, the former token works for a short while longer. After that, whoever shows it
again has it from somewhere it should not be, and the whole login ends: of two holders, one is a thief. The same holds
for whoever shows it so often that more successors would lie about unused than a login may have. The first use of a
successor says which one arrived: the unused ones before it are forgotten.

Source: RFC 6749 §4.4, §6; RFC 9700 §4.14.2 (refresh token rotation); api.md §1.3.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import InvalidInputError, OwnrootError, RefusedError, UnauthenticatedError
from ownroot.services.authority import effective_scopes, parse_scope, with_implied
from ownroot.services.login_ports import NewToken, OAuthClient, OAuthToken, OAuthTokenKind
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.services.scopes import Role, Scope
from ownroot.services.steps import Steps
from ownroot.services.tokens import new_token, token_sha256

ACCESS_LIFETIME: Final = timedelta(hours=1)
REFRESH_LIFETIME: Final = timedelta(days=90)
REFRESH_GRACE: Final = timedelta(seconds=60)
# Of one login: its own next one, and what a few commands that renew at once are given.
UNUSED_REFRESH_TOKENS: Final = 8
# How long a replaced token is remembered, so that its reuse is recognised and not just unknown.
_REUSE_MEMORY: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a client says about itself."""

    client_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Two new tokens, shown once."""

    access_token: str
    refresh_token: str
    factory: Factory
    scopes: frozenset[Scope]
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class _Holder:
    """The client, and what its user is in its factory now."""

    client: OAuthClient
    factory: Factory
    role: Role
    now: datetime


def log_in_client(
    credentials: ClientCredentials, scope: str | None, *, peer: str, now: datetime
) -> Steps[IssuedTokens]:
    """Begin a login.

    Args:
        scope: which of the client's scopes, separated by blanks; None: all of them.
    Raises:
        UnauthenticatedError: `client-unknown` (id or secret), `client-expired`, `member-unknown`.
        InvalidInputError: `scope-unknown`, `scope-not-granted`.
    """
    access, refresh = new_token(), new_token()

    def store(uow: UnitOfWork) -> IssuedTokens:
        holder = _holder(uow, credentials, now)
        scopes = _narrowed(holder.client.scopes, scope, holder)
        grant_id = uow.oauth.add_grant(holder.client, scopes, now=now)
        details = {"user": holder.client.polis_id, "scopes": " ".join(sorted(scopes)), "client": peer}
        uow.audit.append(_event(EventKind.LOGIN_ACCEPTED, holder, details))
        return _issue(uow, grant_id, (access, refresh), scopes, holder)

    issued: IssuedTokens = yield store
    return issued


def refresh_login(
    credentials: ClientCredentials, refresh_token: str, scope: str | None, *, now: datetime
) -> Steps[IssuedTokens]:
    """Go on with a login: new tokens for a refresh token.

    Args:
        scope: what the new access token is to be good for, out of the login's scopes; None: all of them. The new
            refresh token stands for the whole login all the same (RFC 6749 §6).
    Raises:
        UnauthenticatedError: as `log_in_client`; `refresh-unknown`, `refresh-expired`.
        InvalidInputError: as `log_in_client`; the refresh token stays unused.
        RefusedError: `refresh-reused`: the token was used before, so the login has been ended.
    """
    access, refresh = new_token(), new_token()

    def store(uow: UnitOfWork) -> IssuedTokens | OwnrootError:
        holder = _holder(uow, credentials, now)
        token = _refresh_token(uow, refresh_token, holder.client, now)
        if _is_reused(uow, token, now):
            return _end_login(uow, token, holder)
        scopes = _narrowed(token.scopes, scope, holder)
        if token.replaced_at is None:
            uow.oauth.forget_unused(token)
        forget_at = min(token.expires_at, now + _REUSE_MEMORY)
        uow.oauth.replace_token(token.id, now=now, forget_at=forget_at)
        return _issue(uow, token.grant_id, (access, refresh), scopes, holder)

    # The end of a login must be committed, so it is told as a result and raised here.
    outcome: IssuedTokens | OwnrootError = yield store
    if isinstance(outcome, OwnrootError):
        raise outcome
    return outcome


def _holder(uow: UnitOfWork, credentials: ClientCredentials, now: datetime) -> _Holder:
    client = uow.oauth.find_client(credentials.client_id)
    shown = token_sha256(credentials.secret)
    if client is None or not hmac.compare_digest(client.secret_sha256, shown):
        raise UnauthenticatedError("client-unknown", "This server knows no client with this id and secret.")
    if client.expires_at is not None and client.expires_at <= now:
        raise UnauthenticatedError("client-expired", f"The client ended on {client.expires_at:%Y-%m-%d %H:%M:%S} UTC.")
    for factory, role in uow.accounts.memberships(client.polis_id):
        if factory.id == client.factory_id:
            return _Holder(client, factory, role, now)
    raise UnauthenticatedError("member-unknown", "The client's user is not a member of its factory any more.")


def _narrowed(granted: frozenset[Scope], asked: str | None, holder: _Holder) -> frozenset[Scope]:
    if asked is None:
        return granted
    wanted = frozenset(parse_scope(word, factory=holder.factory.name) for word in asked.split())
    # Our replies name implied scopes too, and programs send back what they were told.
    if not wanted or not wanted <= with_implied(granted):
        missing = ", ".join(sorted(wanted - with_implied(granted))) or "no scope at all"
        raise InvalidInputError("scope-not-granted", f"What was granted is less than what is asked for: {missing}.")
    return wanted


def _is_reused(uow: UnitOfWork, token: OAuthToken, now: datetime) -> bool:
    """Is this more than an answer that got lost, or a few commands at once?"""
    if token.replaced_at is None:
        return False
    is_late = now > token.replaced_at + REFRESH_GRACE
    return is_late or uow.oauth.count_unused(token.grant_id, now=now) >= UNUSED_REFRESH_TOKENS


def _refresh_token(uow: UnitOfWork, text: str, client: OAuthClient, now: datetime) -> OAuthToken:
    token = uow.oauth.find_token(token_sha256(text))
    if token is None or token.kind is not OAuthTokenKind.REFRESH or token.client.id != client.id:
        raise UnauthenticatedError("refresh-unknown", "This refresh token is not known (any more). Log in again.")
    if token.expires_at <= now:
        raise UnauthenticatedError("refresh-expired", "The refresh token has ended. Log in again.")
    return token


def _end_login(uow: UnitOfWork, token: OAuthToken, holder: _Holder) -> OwnrootError:
    uow.oauth.delete_grant(token.grant_id)
    uow.audit.append(_event(EventKind.REFRESH_REUSED, holder, {"user": holder.client.polis_id}))
    return RefusedError(
        "refresh-reused",
        "This refresh token was used before, so it may be in two hands. The login has been ended; log in again.",
    )


def _issue(
    uow: UnitOfWork, grant_id: int, secrets: tuple[str, str], scopes: frozenset[Scope], holder: _Holder
) -> IssuedTokens:
    access, refresh = secrets
    now = holder.now
    last = holder.client.expires_at or now + REFRESH_LIFETIME
    lifetime = min(ACCESS_LIFETIME, last - now)
    tokens = (
        NewToken(OAuthTokenKind.ACCESS, token_sha256(access), now + lifetime, scopes),
        NewToken(OAuthTokenKind.REFRESH, token_sha256(refresh), min(now + REFRESH_LIFETIME, last)),
    )
    uow.oauth.add_tokens(grant_id, tokens)
    return IssuedTokens(access, refresh, holder.factory, effective_scopes(holder.role, scopes), lifetime)


def _event(kind: EventKind, holder: _Holder, details: Mapping[str, str]) -> AuditEvent:
    client = holder.client
    return AuditEvent(client.factory_id, holder.now, client.polis_id, kind, client.client_id, details)
