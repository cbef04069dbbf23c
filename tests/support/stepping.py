"""Driving a service by hand, one commit at a time: to look between two commits, interleave two services, or crash."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.steps import Aside, Steps

Result = TypeVar("Result")


class Stepper(Generic[Result]):
    """A service standing before its next commit; forgetting it here is what a crash does to it there."""

    def __init__(self, steps: Steps[Result], database: Database) -> None:
        self._steps = steps
        self._database = database
        self._result: list[Result] = []
        self._work: Callable[[UnitOfWork], Any] | Aside | None = next(steps)

    def step(self) -> None:
        """Commit the next work, or do it aside, and let the service run up to the one after it, or to its end."""
        assert self._work is not None, "the service has ended"
        try:
            try:
                if isinstance(self._work, Aside):
                    outcome = self._work.run_aside()
                else:
                    outcome = self._database.write(self._work).result()
            except Exception as error:  # noqa: BLE001  (the service decides)
                self._work = self._steps.throw(error)
            else:
                self._work = self._steps.send(outcome)
        except StopIteration as stop:
            self._work = None
            self._result.append(stop.value)

    def finish(self) -> Result:
        """Run to the end and return the result."""
        while not self._result:
            self.step()
        return self._result[0]
