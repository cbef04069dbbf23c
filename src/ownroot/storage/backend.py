"""What a database must offer beneath the repositories; SQLite and PostgreSQL each have a module of their own."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from ownroot.storage.statements import StatementCache


class Backend(Protocol):
    """One database, for one process.

    Errors of the driver leave these methods as they are; callers sort them with `faults`.
    """

    @property
    def driver(self) -> Any:
        """The DBAPI module, for its exceptions."""
        ...

    @property
    def statements(self) -> StatementCache: ...

    def reading(self) -> AbstractContextManager[Any]:
        """A driver connection inside a read transaction that sees one moment; undone at the end."""
        ...

    def writing(self) -> AbstractContextManager[Any]:
        """A driver connection inside a transaction that may write.

        Committed durably at the end, undone when the block raises. Other writers, in other processes too, wait.
        """
        ...

    def notify(self, connection: Any) -> None:
        """Wake other processes when the transaction of this connection commits: the change feed moves."""
        ...

    def has_foreign_changes(self) -> bool: ...

    def close(self) -> None: ...
