"""The token of the online CAs beside a running API: swept after changes, and watched."""

import asyncio
import time
from collections.abc import Callable

import structlog

from ownroot.api.backend import Backend
from ownroot.errors import OwnrootError, UnavailableError
from ownroot.services.backend_keys import no_token
from ownroot.services.steps import Aside, Steps
from ownroot.services.token_keys import CaToken, sweep

_REMEMBERED_SECONDS = 1.0


class CaTokenCare:
    """Takes keys off the token that no row names any more, and knows whether the token serves.

    Without a token in the settings there is nothing to sweep, and a key that lies on one is the fault.

    Args:
        patience_seconds: after which nobody waits for the token any more; what it does is done all the same.
        ticks: seconds that only grow.
    """

    def __init__(
        self, backend: Backend, *, patience_seconds: float = 5.0, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._patience_seconds = patience_seconds
        self._ticks = ticks
        self._sweeping = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._probe: asyncio.Future[None] | None = None
        self._fault: OwnrootError | None = None
        self._until = float("-inf")
        self._log = structlog.get_logger("ownroot.api")

    async def sweep(self) -> None:
        """Sweep; when the token does not serve, say so in the log. The next sweep does what this one left."""
        token = self._backend.keyring.token
        if token is None:
            return
        try:
            # Whoever waits is answered in the end: what they asked for is committed already.
            async with asyncio.timeout(self._patience_seconds), self._sweeping:
                destroyed = await self._backend.run(sweep(token))
        except TimeoutError:
            self._log_left("token-slow", f"no answer in {self._patience_seconds:g} s")
        except OwnrootError as error:
            self._log_left(error.code, _cause(error))
        else:
            if destroyed:
                self._log.info("destroyed keys on the token", keys=destroyed)

    async def fault(self) -> OwnrootError | None:
        """Return why keys on a token cannot be used, None if they can. The answer counts for a second."""
        async with self._asking:
            if self._ticks() >= self._until:
                found = await self._find_fault()
                self._log_news(found)
                self._fault, self._until = found, self._ticks() + _REMEMBERED_SECONDS
            return self._fault

    async def _find_fault(self) -> OwnrootError | None:
        key_id = await self._backend.read(lambda uow: uow.token_keys.newest_active())
        token = self._backend.keyring.token
        if token is None:
            return None if key_id is None else no_token()
        if self._probe is None:  # one at a time: a token that hangs would hold a thread for each
            self._probe = asyncio.ensure_future(self._backend.run(_require(token, key_id)))
        answered, _ = await asyncio.wait({self._probe}, timeout=self._patience_seconds)
        if not answered:
            waited = f"The token took longer than {self._patience_seconds:g} s."
            return UnavailableError("token-slow", waited, retry_after=5)
        probe, self._probe = self._probe, None
        error = probe.exception()
        if error is not None and not isinstance(error, OwnrootError):
            raise error
        return error

    def _log_left(self, code: str, cause: object) -> None:
        self._log.warning("keys to be destroyed are still on the token; will try again", code=code, cause=cause)

    def _log_news(self, found: OwnrootError | None) -> None:
        before = None if self._fault is None else self._fault.code
        if found is None and before is not None:
            self._log.info("the token of the online CAs serves again")
        elif found is not None and found.code != before:
            self._log.error("keys of online CAs cannot be used", code=found.code, cause=_cause(found))


def _require(token: CaToken, key_id: bytes | None) -> Steps[None]:
    yield Aside(lambda: token.keys.require(key_id))


def _cause(error: OwnrootError) -> object:
    return error.context.get("cause", error.detail)
