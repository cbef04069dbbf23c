"""A database that can be kept from writing for a while; what it writes, it really writes."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ownroot.errors import OwnrootError, UnavailableError
from ownroot.services.ports import Database, UnitOfWork

OUTAGE = UnavailableError("database-unavailable", "Try later.", retry_after=1)


class Door:
    """Stands before a database.

    Attributes:
        fault: what every write fails with while it is set.
        held: what every write waits for while it is set; the test ends it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.fault: OwnrootError | None = None
        self.held: Future[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write(self, work: Callable[[UnitOfWork], Any]) -> "Future[Any]":
        if self.held is not None:
            return self.held
        if self.fault is None:
            return self._database.write(work)
        failed: Future[Any] = Future()
        failed.set_exception(self.fault)
        return failed
