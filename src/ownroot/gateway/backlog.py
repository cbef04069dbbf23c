"""What was noted while requests were answered, on its way to the store: merged, bounded, in batches, once a second.

What is lost in a crash is at most the last second of notes.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import structlog

from ownroot.errors import OwnrootError, UnavailableError
from ownroot.services.ports import Database, UnitOfWork

_log = structlog.get_logger(__name__)
MAX_PENDING: Final = 50_000

Note = TypeVar("Note")
Key = TypeVar("Key", bound=Hashable)
Work: TypeAlias = Callable[[Sequence[Note]], Callable[[UnitOfWork], None]]


class Backlog(Generic[Key, Note]):
    """The notes of one kind that wait in this process, one for each key.

    Attributes:
        name: what is noted, as metrics spell it: `check_ins`.
        recorded, dropped: notes since the start of this worker; dropped are those that found no room, and those that
            the store refused for good.
    """

    def __init__(self, database: Database, name: str, work: Work[Note], *, batch: int = 5_000) -> None:
        self._database = database
        self._work = work
        self._batch = batch
        self._pending: dict[Key, Note] = {}
        self.name = name
        self.recorded = 0
        self.dropped = 0

    def put(self, key: Key, note: Note) -> bool:
        """Let a note wait, merged with the one that does; False: there is no room, and none of this key waits."""
        earlier = self._pending.get(key)
        if earlier is not None:
            note = self._merge(earlier, note)
        elif len(self._pending) >= MAX_PENDING:
            self.dropped += 1
            return False
        self._pending[key] = note
        return True

    async def run(self) -> None:
        """Write once a second until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. While the store is unavailable it goes on waiting, and so does what a cancel cuts off.

        A note whose write was cut off may be written again, so that has to change nothing. Most notes say how things
        are now; a return to a network is counted, and counted once only since another one counts no sooner than `APART`
        after it (`fleet.clones.count_return`, the store's rule): that distance must stay above nought.
        """
        noted, self._pending = list(self._pending.items()), {}
        for start in range(0, len(noted), self._batch):
            part = noted[start : start + self._batch]
            try:
                await asyncio.wrap_future(self._database.write(self._work([note for _, note in part])))
            except asyncio.CancelledError:
                self._give_back(noted[start:])
                raise
            except UnavailableError as error:
                self._give_back(noted[start:])
                _log.warning("notes could not be stored, they are kept", of=self.name, code=error.code)
                return
            except OwnrootError as error:
                self.dropped += len(part)
                _log.error("notes could not be stored, they are lost", of=self.name, notes=len(part), exc_info=error)
                self._left(part, stored=False)
            else:
                self.recorded += len(part)
                self._left(part, stored=True)

    def _give_back(self, kept: Sequence[tuple[Key, Note]]) -> None:
        """What could not be written is older than what was noted meanwhile."""
        newer, self._pending = self._pending, dict(kept)
        self._left([(key, note) for key, note in newer.items() if not self.put(key, note)], stored=False)

    def _merge(self, earlier: Note, later: Note) -> Note:
        """Return what is to be stored of two notes of one key: here, the later one alone."""
        return later

    def _left(self, notes: Sequence[tuple[Key, Note]], *, stored: bool) -> None:
        """Hear of notes that wait no more, stored or dropped; others of their keys may wait by now."""
