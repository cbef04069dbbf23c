"""Services that commit more than once, written as generators.

A step yields a piece of work for one transaction and is resumed with its result once that is committed, or has the
work's error thrown in. So "record, then sign, then answer" reads top to bottom in one function, and the same function
runs under a blocking driver here and an asynchronous one at the network edge.

What happens between two commits must be quick, since it runs on the event loop. What is not, a token asked for a
signature, say, is yielded as `Aside`: it is done on a thread of its own, in no transaction.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from ownroot.services.ports import Database, UnitOfWork

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Aside:
    """Something slow between two commits; the step is resumed with what it returns, or has its error thrown in."""

    act: Callable[[], Any]

    def run_aside(self) -> Any:
        """Do it, on whatever thread calls."""
        return self.act()


Work: TypeAlias = Callable[[UnitOfWork], Any]
Steps: TypeAlias = Generator[Work | Aside, Any, Result]


def one_step(work: Callable[[UnitOfWork], Result]) -> Steps[Result]:
    """Make a service of a single piece of work."""
    result: Result = yield work
    return result


def run_blocking(steps: Steps[Result], database: Database) -> Result:
    """Drive a service to its end on the calling thread.

    Raises:
        OwnrootError: whatever the service lets out; errors of a work are thrown into the service first.
    """
    try:
        work = next(steps)
        while True:
            try:
                result = work.run_aside() if isinstance(work, Aside) else database.write(work).result()
            except Exception as error:  # noqa: BLE001  (handed to the service, which decides)
                work = steps.throw(error)
            else:
                work = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
