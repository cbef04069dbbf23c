"""Folding SQLite's write-ahead log into its database beside the writer, not in the middle of its commits.

SQLite checkpoints by itself inside the commit that finds the log long: thousands of pages are copied and the database
is synced while every caller of that commit waits; measured, that was the slowest percent of registrations. A passive
checkpoint on another connection does the same work and holds up neither readers nor the writer, but for the disk they
share: so the pieces are small. What came in meanwhile the writer folds itself, which is little, and begins the log
anew: so the log stays bounded too.

Source: https://www.sqlite.org/wal.html, "Avoiding Excessively Large WAL Files"; `SQLITE_CHECKPOINT_PASSIVE`.
"""

import logging
import sqlite3
import threading
from pathlib import Path
from typing import Final

_log: Final = logging.getLogger(__name__)
_COMMITS: Final = 16  # between two checkpoints; a store that is hardly written stays below the writer's own bound


class Checkpointer:
    """A thread that checkpoints one database, on a connection of its own, after every so many commits of its writer.

    Args:
        path: of a database in WAL mode that is there.
        commits: how many.
    """

    def __init__(self, path: Path, *, commits: int = _COMMITS) -> None:
        self._path = path
        self._commits = commits
        self._since = 0
        self._is_due = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="ownroot-checkpoints", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """Count a commit; called by the one writer, behind it. Waits for nothing."""
        self._since += 1
        if self._since >= self._commits:
            self._since = 0
            self._is_due.set()

    def close(self) -> None:
        """Let a checkpoint that is under way end, and let go of the database; nothing more happens the second time."""
        self._is_closing = True
        self._is_due.set()
        self._thread.join()

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        while self._is_wanted():
            try:
                connection = connection or _connect(self._path)
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.Error as exc:
                # Nothing is lost: the log holds the truth until it is folded, which the writer does at its own bound.
                _log.warning("the log of %s could not be checkpointed: %s", self._path.name, exc)
        if connection is not None:
            connection.close()

    def _is_wanted(self) -> bool:
        self._is_due.wait()
        self._is_due.clear()
        return not self._is_closing


def _connect(path: Path) -> sqlite3.Connection:
    # `mode=rw`: a database that was taken away is not made again, empty.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")  # the log is synced before a page of it replaces another
    return connection
