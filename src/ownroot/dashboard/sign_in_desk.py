"""Compares passwords: a few at a time, beside the event loop, and only so often for one name or one address."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from starlette.concurrency import run_in_threadpool

from ownroot.errors import UnauthenticatedError, UnavailableError
from ownroot.services.attempt_limits import AttemptLimit, peer_network
from ownroot.services.passwords import is_password
from ownroot.services.ports import UnitOfWork
from ownroot.services.sign_in import SignedIn, find_account, open_session, wrong_password
from ownroot.services.steps import Steps

T = TypeVar("T")

_AT_ONCE: Final = 2
_WAITING: Final = 20
_WINDOW: Final = timedelta(minutes=15)
_MAX_KEY_CHARS: Final = 64  # no user has a longer name; what strangers type is kept for a while


class Store(Protocol):
    """Reads, and drives services to their end; waits without blocking the event loop."""

    async def read(self, work: Callable[[UnitOfWork], T]) -> T: ...
    async def run(self, steps: Steps[T]) -> T: ...


class Trail(Protocol):
    """Puts refused logins on record."""

    async def refused_login(
        self, refusal: UnauthenticatedError, client: str, now: datetime, *, subject: str = ""
    ) -> None: ...


class SignInDesk:
    """Signs people in."""

    def __init__(self, store: Store, trail: Trail) -> None:
        self._store = store
        self._trail = trail
        # By network first: somebody elsewhere who is wrong all day must not keep the person of that name out.
        self._of_name_here = AttemptLimit("sign-ins under this name", most=10, window=_WINDOW)
        self._of_name = AttemptLimit("sign-ins under this name", most=200, window=_WINDOW)
        self._of_peer = AttemptLimit("sign-ins from your address", most=50, window=_WINDOW)
        self._hashing = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def sign_in(self, name: str, password: str, *, peer: str, now: datetime) -> SignedIn:
        """Open a session for a name and a password. A name nobody has takes as long and is refused alike.

        Raises:
            UnauthenticatedError: `sign-in-refused`.
            UnavailableError: `too-many-attempts`, `sign-in-busy`.
        """
        network, key = peer_network(peer), name[:_MAX_KEY_CHARS]
        self._of_peer.charge(network, now)
        self._of_name_here.charge((network, key), now)
        self._of_name.charge(key, now)
        account = await self._store.read(lambda uow: find_account(uow, name))
        if not await self._compare(password, None if account is None else account.phc) or account is None:
            refusal = wrong_password()
            subject = "" if account is None else account.user.polis_id
            await self._trail.refused_login(refusal, peer, now, subject=subject)
            raise refusal
        self._of_peer.give_back(network)
        self._of_name_here.give_back((network, key))
        self._of_name.give_back(key)
        return await self._store.run(open_session(account, peer=peer, now=now))

    async def _compare(self, password: str, phc: str | None) -> bool:
        if self._waiting >= _WAITING:
            raise UnavailableError("sign-in-busy", "Many people are signing in. Try again in a moment.", retry_after=2)
        self._waiting += 1
        try:
            async with self._hashing:
                return await run_in_threadpool(is_password, password, phc)
        finally:
            self._waiting -= 1
