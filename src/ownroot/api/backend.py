"""What the endpoints of the API work with, wired once at start."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from ownroot.services.backend_keys import Keyring
from ownroot.services.config_vault import ConfigVault
from ownroot.services.issuers import OnlineIssuers
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.register_device import RegistrationPolicy
from ownroot.services.steps import Steps, one_step
from ownroot.web.async_steps import StepRunner

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backend:
    """The store, the keys, and what others are told of us.

    Attributes:
        policy: what the operator decides about certificates of new devices.
        public_gateway_port: the port at which devices find the gateway.
        public_url: where people find the API's pages, without a slash at the end; None: where a request was sent to.
    """

    database: Database
    keyring: Keyring
    issuers: OnlineIssuers
    public_gateway_port: int
    public_url: str | None = None
    policy: RegistrationPolicy = field(default_factory=RegistrationPolicy)
    config_vault: ConfigVault = field(init=False, repr=False)
    _runner: StepRunner = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "config_vault", ConfigVault(self.keyring))
        object.__setattr__(self, "_runner", StepRunner(self.database))

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run a read transaction beside the event loop."""
        return await run_in_threadpool(self.database.read, work)

    async def run(self, steps: Steps[T]) -> T:
        """Drive a service to its end, waiting for its commits."""
        return await self._runner.run(steps)

    async def commit(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run one piece of work and wait for its commit, which it shares with whatever else is under way."""
        return await self._runner.run(one_step(work))
