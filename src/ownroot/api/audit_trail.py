"""Refusals on their way into the audit log."""

from collections.abc import Callable
from datetime import datetime

import structlog

from ownroot.api.backend import Backend
from ownroot.errors import UnauthenticatedError, UnavailableError
from ownroot.services.authenticate import RefusedLogins
from ownroot.services.ports import UnitOfWork


class AuditTrail:
    """Writes refusals of one door. The refusal stands whether its event can be written or not."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._refused_logins = RefusedLogins()
        self._log = structlog.get_logger("ownroot.api")

    async def write(self, work: Callable[[UnitOfWork], None]) -> None:
        """Commit an event."""
        try:
            await self._backend.commit(work)
        except UnavailableError as error:
            # A full disk must not turn a 403 into something that invites a retry.
            self._log.error("audit event lost", code=error.code, detail=error.detail)

    async def refused_login(
        self, refusal: UnauthenticatedError, client: str, now: datetime, *, subject: str = ""
    ) -> None:
        """Commit the event of a refused login, unless this minute has had its share.

        Args:
            client: the address it came from.
            subject: whose login it would have been, if that is known to exist.
        """
        work = self._refused_logins.record(refusal, client, now, subject=subject)
        if work is not None:
            await self.write(work)
