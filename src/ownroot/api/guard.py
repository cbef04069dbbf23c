"""The guard of the API: from a token to a `Principal` with the right to the endpoint and the factory.

A token's owner is looked up once a second at most, because a look-up is a hop to another thread and a registration
must not wait for it. So a role that was taken away counts for one second more, an end of the token not at all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ownroot.api.audit_trail import AuditTrail
from ownroot.api.backend import Backend
from ownroot.errors import (
    RefusedError,
    UnauthenticatedError,
)
from ownroot.services.authenticate import Authenticated, authenticate
from ownroot.services.authority import Principal
from ownroot.services.change_pki import refused_access
from ownroot.services.known_accounts import known_factory
from ownroot.services.tokens import token_sha256
from ownroot.web.endpoint import Access, Arrival

_CACHE_SECONDS = 1.0
_CACHE_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    authenticated: Authenticated
    until: float


class TokenGuard:
    """Admits callers by API token.

    Args:
        ticks: seconds that only grow.
    """

    def __init__(self, backend: Backend, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._ticks = ticks
        self._known: dict[bytes, _Known] = {}
        self._trail = AuditTrail(backend)

    async def admit(self, arrival: Arrival, access: Access) -> Principal:
        """Return the caller.

        Raises:
            UnauthenticatedError: `token-missing`, or as `services.authenticate`.
            NotFoundError: `factory-unknown`.
            RefusedError: `wrong-factory`, `token-for-one-device`, `scope-missing`, `role-missing`.
        """
        if arrival.credential is None:
            raise UnauthenticatedError("token-missing", "This needs a token: send it in the header OSF-TOKEN.")
        principal = await self._authenticate(arrival, arrival.credential)
        try:
            await self._require_factory(principal, arrival)
            require_access(principal, access)
        except RefusedError as refusal:
            if access.audited:
                request = f"{arrival.method} for {arrival.path.get('factory', '')[:64]}"
                await self._trail.write(refused_access(principal, refusal.code, request, now=arrival.now))
            raise
        return principal

    async def _authenticate(self, arrival: Arrival, token: str) -> Principal:
        key = token_sha256(token)
        known = self._known.get(key)
        if known is None or known.until < self._ticks() or _has_ended(known.authenticated, arrival):
            try:
                found = await self._backend.read(lambda uow: authenticate(uow, token, now=arrival.now))
            except UnauthenticatedError as refusal:
                self._known.pop(key, None)
                await self._trail.refused_login(refusal, arrival.client_address, arrival.now)
                raise
            known = self._remember(key, found)
        return known.authenticated.principal

    def _remember(self, key: bytes, found: Authenticated) -> _Known:
        if len(self._known) >= _CACHE_ENTRIES:
            self._known.clear()
        known = _Known(found, self._ticks() + _CACHE_SECONDS)
        self._known[key] = known
        return known

    async def _require_factory(self, principal: Principal, arrival: Arrival) -> None:
        """A token is for one factory; of others it may learn no more than that they are not its own."""
        name = arrival.path.get("factory")
        if name is None or name == principal.factory.name:
            return
        await self._backend.read(lambda uow: known_factory(uow, name))
        raise wrong_factory(principal)


def require_access(principal: Principal, access: Access) -> None:
    """Check scopes and roles.

    Raises:
        RefusedError: `token-for-one-device`, `scope-missing`, `role-missing`.
    """
    if principal.device_pass is not None and not access.one_device:
        raise RefusedError(
            "token-for-one-device", "This token registers one device (POST /ota/devices/) and is good for nothing else."
        )
    excused = principal.role in access.or_roles
    if access.scopes and not excused and principal.scopes.isdisjoint(access.scopes):
        wanted = ", ".join(access.scopes)
        raise RefusedError(
            "scope-missing",
            f"The token lacks what this needs, one of these scopes: {wanted}. "
            "The server's operator makes another with `ownroot token create`.",
        )
    if access.roles and principal.role not in access.roles:
        wanted = " or ".join(access.roles)
        raise RefusedError("role-missing", f"Only {wanted} of the factory may do this; you are {principal.role.value}.")


def wrong_factory(principal: Principal) -> RefusedError:
    """Say that a token is for another factory than the one asked for."""
    return RefusedError("wrong-factory", f"The token is for factory {principal.factory.name}, not for this one.")


def _has_ended(authenticated: Authenticated, arrival: Arrival) -> bool:
    return authenticated.expires_at is not None and authenticated.expires_at <= arrival.now
