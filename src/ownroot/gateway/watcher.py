"""Keeps the snapshot of one process up to date by asking the store a cheap question many times a second."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from ownroot.errors import UnavailableError
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.read_gateway_trust import (
    DeviceCertificatePolicy,
    DeviceKey,
    Refreshed,
    TrustPicture,
    read_trust,
    refresh_trust,
)

_log = structlog.get_logger(__name__)


class Follower(Protocol):
    """Who acts on what the watcher finds. `refreshed` and `confirmed` are called on the event loop."""

    @property
    def picture(self) -> TrustPicture: ...
    def devices_of_interest(self) -> Iterable[DeviceKey]:
        """All devices held anything about; asked on the watcher's thread, and seldom."""
        ...

    def is_of_interest(self, key: DeviceKey) -> bool:
        """Asked on the watcher's thread."""
        ...

    def refreshed(self, found: Refreshed) -> None: ...
    def confirmed(self, asked_at: float) -> None:
        """Nothing held is older than this (monotonic) time; what changed until then was handed over before."""
        ...


class TrustWatcher:
    """Polls on a thread of its own and hands what it finds to the event loop."""

    def __init__(
        self, database: Database, policy: DeviceCertificatePolicy, follower: Follower, *, interval_seconds: float
    ) -> None:
        self._database = database
        self._policy = policy
        self._follower = follower
        self._interval_seconds = interval_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trust-watcher")
        self._is_behind = True
        self._is_failing = False

    async def read_first(self) -> TrustPicture:
        """Return the picture to start with.

        Raises:
            UnavailableError: the store cannot be read.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._database.read, lambda uow: read_trust(uow, self._policy))

    async def run(self) -> None:
        """Poll until cancelled. A failing store is reported once, and once more when it is back."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.poll()

    async def poll(self) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            found = await loop.run_in_executor(self._thread, self._ask)
        except UnavailableError as error:
            self._report_failure(error)
        except Exception as error:  # noqa: BLE001 - unread trust ends in refusing everybody, never in a silent stop
            self._report_failure(error)
        else:
            if found is not None:
                self._follower.refreshed(found)
            self._follower.confirmed(asked_at)
            if self._is_failing:
                self._is_failing = False
                _log.info("trust can be read again")

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _ask(self) -> Refreshed | None:
        # The probe forgets that it said yes, so the debt is ours until a read has succeeded.
        self._is_behind = self._database.has_foreign_changes() or self._is_behind
        if not self._is_behind:
            return None
        found = self._database.read(self._refresh)
        self._is_behind = False
        return found

    def _refresh(self, uow: UnitOfWork) -> Refreshed | None:
        follower = self._follower
        return refresh_trust(
            uow,
            self._policy,
            follower.picture,
            devices_of_interest=follower.devices_of_interest,
            is_of_interest=follower.is_of_interest,
        )

    def _report_failure(self, error: Exception) -> None:
        if not self._is_failing:
            self._is_failing = True
            _log.error("trust cannot be read; known devices go on for the grace time", exc_info=error)
