"""From a token to the member behind it, and a bounded record of the tokens we refused."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ownroot.audit.events import SERVER, AuditEvent, EventKind
from ownroot.errors import UnauthenticatedError
from ownroot.services.authority import DevicePass, Principal, effective_scopes
from ownroot.services.login_ports import OAuthTokenKind
from ownroot.services.ports import UnitOfWork
from ownroot.services.scopes import Scope
from ownroot.services.tokens import token_sha256


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Who a token stands for, and until when."""

    principal: Principal
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What a token of any kind says."""

    id: int
    factory_id: int
    polis_id: str
    scopes: frozenset[Scope]
    expires_at: datetime | None
    device_pass: DevicePass | None = None


def authenticate(uow: UnitOfWork, token: str, *, now: datetime) -> Authenticated:
    """Find the member a token was made for.

    Raises:
        UnauthenticatedError: `token-unknown`, `token-expired`, `member-unknown` (no longer a member).
    """
    found = _find(uow, token_sha256(token))
    if found is None:
        raise UnauthenticatedError("token-unknown", "This server does not know the token. It may be another server's.")
    if found.expires_at is not None and found.expires_at <= now:
        raise UnauthenticatedError("token-expired", f"The token ended on {found.expires_at:%Y-%m-%d %H:%M:%S} UTC.")
    user = uow.accounts.find_user(found.polis_id)
    memberships = uow.accounts.memberships(found.polis_id)
    place = next(((factory, role) for factory, role in memberships if factory.id == found.factory_id), None)
    if user is None or place is None:
        raise UnauthenticatedError("member-unknown", "The token's user is not a member of its factory any more.")
    factory, role = place
    scopes = effective_scopes(role, found.scopes)
    principal = Principal(user, factory, role, scopes, found.id, found.device_pass)
    return Authenticated(principal, found.expires_at)


def _find(uow: UnitOfWork, digest: bytes) -> _Found | None:
    """A token is an API token, the access token of an OAuth client, or a device's leave to register."""
    token = uow.accounts.find_token(digest)
    if token is not None:
        return _Found(token.id, token.factory_id, token.polis_id, token.scopes, token.expires_at)
    issued = uow.oauth.find_token(digest)
    if issued is not None:
        if issued.kind is not OAuthTokenKind.ACCESS:
            return None
        client = issued.client
        return _Found(issued.id, client.factory_id, client.polis_id, issued.scopes, issued.expires_at)
    allowed = uow.device_authorizations.find_by_token(digest)
    if allowed is None or allowed.decided_by is None:
        return None
    device_pass = DevicePass(allowed.id, allowed.uuid)
    scopes = frozenset({Scope.DEVICES_CREATE})
    return _Found(allowed.id, allowed.factory_id, allowed.decided_by, scopes, allowed.expires_at, device_pass)


class RefusedLogins:
    """Writes refused tokens to the audit log, a bounded number of them: strangers can send tokens for ever.

    Args:
        per_minute: events written at most; what is left out is counted in the next one.
    """

    def __init__(self, *, per_minute: int = 10) -> None:
        self._per_minute = per_minute
        self._window_ends: datetime | None = None
        self._written = 0
        self._left_out = 0

    def record(
        self, refusal: UnauthenticatedError, client: str, now: datetime, *, subject: str = ""
    ) -> Callable[[UnitOfWork], None] | None:
        """Return the work that writes the event, or None when this minute has had its share."""
        if self._window_ends is None or now >= self._window_ends:
            self._window_ends, self._written = now + timedelta(minutes=1), 0
        if self._written >= self._per_minute:
            self._left_out += 1
            return None
        self._written += 1
        details = {"code": refusal.code, "client": client, "left-out-before": str(self._left_out)}
        self._left_out = 0
        event = AuditEvent(None, now, SERVER, EventKind.LOGIN_REFUSED, subject, details)
        return lambda uow: uow.audit.append(event)
