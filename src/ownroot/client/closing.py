"""What owns sockets is closed by its owner, or by the end of a `with`."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class ClosedOnExit(ABC):
    """Base of everything here that holds connections open."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Close all connections; more than once is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
