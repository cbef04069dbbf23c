"""What services need from outside: a transactional store, nothing more.

Rules every implementation keeps:

* `Database.write` runs its work inside one transaction that may carry other callers' work too (group commit). An
  exception undoes the work that raised it alone. The future is done only after COMMIT returned; when the commit itself
  fails every member gets `UnavailableError`.
* A work is called at most twice: when one of its transaction fails, all of them are rolled back and run again. So it is
  a function of its unit of work and of values that do not change, and what it does elsewhere it can do twice. Only the
  outcome of the last call counts.
* Writing transactions follow one another, across processes too: what a work has read inside its own transaction cannot
  have changed when it commits.
* Unique constraints decide races. A repository turns their violation into `ConflictError` with the code named there.
* Times are aware UTC in whole seconds.
* A work may use its unit of work until it returns, on the thread that called it, and keeps nothing of it.
* Only errors of ours leave: a fault of the store is `UnavailableError` (`database-unavailable`, `database-full`,
  `database-closed`), text or numbers it cannot hold are `InvalidInputError` `value-not-storable`, a reference to
  something that is not there is `ConflictError` `reference-missing`. What a work raises itself passes through.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias, TypeVar

from ownroot.services.forecast_ports import DeviceEnds
from ownroot.services.login_ports import DeviceAuthorizations, Logins, OAuth
from ownroot.services.report_ports import DeviceDocuments, DeviceTests, DeviceUpdates, Reporters
from ownroot.services.repositories import (
    Accounts,
    AuditLog,
    BackendKeys,
    ChangeFeed,
    Clones,
    Configs,
    DeniedKeys,
    DeviceGroups,
    Devices,
    Factories,
    Facts,
    HeldDevices,
    IssuanceLog,
    PkiStates,
    RecoveryPolicies,
    Refusals,
    Restores,
    TokenKeyRecords,
)
from ownroot.services.tuf_store import TufRepositories

T = TypeVar("T")


class UnitOfWork(Protocol):
    """One transaction's view of everything."""

    @property
    def facts(self) -> Facts: ...
    @property
    def factories(self) -> Factories: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def logins(self) -> Logins: ...
    @property
    def oauth(self) -> OAuth: ...
    @property
    def device_authorizations(self) -> DeviceAuthorizations: ...
    @property
    def pki(self) -> PkiStates: ...
    @property
    def keys(self) -> BackendKeys: ...
    @property
    def token_keys(self) -> TokenKeyRecords: ...
    @property
    def tuf(self) -> TufRepositories: ...
    @property
    def devices(self) -> Devices: ...
    @property
    def ends(self) -> DeviceEnds: ...
    @property
    def groups(self) -> DeviceGroups: ...
    @property
    def reporters(self) -> Reporters: ...
    @property
    def documents(self) -> DeviceDocuments: ...
    @property
    def updates(self) -> DeviceUpdates: ...
    @property
    def tests(self) -> DeviceTests: ...
    @property
    def configs(self) -> Configs: ...
    @property
    def restores(self) -> Restores: ...
    @property
    def held_devices(self) -> HeldDevices: ...
    @property
    def denied_keys(self) -> DeniedKeys: ...
    @property
    def recovery_policies(self) -> RecoveryPolicies: ...
    @property
    def clones(self) -> Clones: ...
    @property
    def issuances(self) -> IssuanceLog: ...
    @property
    def refusals(self) -> Refusals: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def changes(self) -> ChangeFeed: ...


Work: TypeAlias = Callable[[UnitOfWork], T]


# Ticket, result, error: the outcome of one submitted work. With an error the result is None.
Outcome: TypeAlias = tuple[Any, Any, BaseException | None]


class Inbox(Protocol):
    """Where outcomes go. Equal (and equally hashed) inboxes get the outcomes of one commit in one delivery."""

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Called on the writer's thread after the commit. Hands over at once and raises nothing."""
        ...


class Database(Protocol):
    def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run in one read transaction on the calling thread. Raises UnavailableError `database-unavailable`."""
        ...

    def write(self, work: Callable[[UnitOfWork], T]) -> "Future[T]":
        """Queue for the next group commit; see the module's rules."""
        ...

    def submit(self, work: Callable[[UnitOfWork], Any], inbox: Inbox, ticket: object) -> None:
        """Queue as `write` does; the outcome goes to the inbox with the ticket. The cheap way for event loops."""
        ...

    def has_foreign_changes(self) -> bool:
        """Cheap probe: may another process have committed since the last call? May say yes wrongly, never no.

        The first call says yes. Raises UnavailableError `database-unavailable`.
        """
        ...

    def close(self) -> None:
        """Finish what is queued, then let go of every connection."""
        ...
