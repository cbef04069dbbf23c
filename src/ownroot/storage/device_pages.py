"""The devices of one page, looked for in the runs that it touches (`device_listing`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from ownroot.storage.device_cohorts import Cohort, NameCounts, in_cohorts, seen_devices
from ownroot.storage.name_ranges import NameRange
from ownroot.storage.schema import devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row

# Reading a device to learn when it was seen costs about as much as walking over thirty entries of an index.
COST_OF_READING: Final = 30

# Written out: of a parameter neither database knows that the partial index has all that is asked for.
_WAS_SEEN: Final = sa.text("devices.last_seen > 0")

Rows: TypeAlias = "sa.Select[Any]"
Ids: TypeAlias = "sa.Select[tuple[int]]"


@dataclass(frozen=True, slots=True)
class Order:
    """How a listing is sorted; the name decides last, and no two devices of a factory share one.

    `seen_first`: by last check-in, from the oldest on; False = from the newest; None = not by that.
    """

    by_owner: bool = False
    seen_first: bool | None = None
    names_down: bool = False

    @property
    def of_seen(self) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
        seen, name = devices.c.last_seen, devices.c.name
        return (seen if self.seen_first else seen.desc(), name.desc() if self.names_down else name)

    @property
    def follows_index(self) -> bool:
        """Of those that were seen: do names go the way of the times?"""
        return self.seen_first is not self.names_down


@dataclass(frozen=True, slots=True)
class Run:
    """Cohorts whose devices stand together; `is_whole`: all that the factory has, or all of them that were seen."""

    cohorts: tuple[Cohort, ...]
    is_whole: bool

    @property
    def devices(self) -> int:
        return sum(cohort.devices for cohort in self.cohorts)

    @property
    def was_seen(self) -> bool:
        return self.cohorts[0].seen


@dataclass(frozen=True, slots=True)
class Window:
    """Which devices of a run: how many to leave out, and how many to take then; there are as many."""

    skip: int
    take: int

    def seen_from_end(self, total: int) -> "Window":
        return Window(total - self.skip - self.take, self.take)


class Pages:
    """Finds the devices of a page."""

    def __init__(self, session: Session, factory_id: int, names: NameRange, order: Order) -> None:
        self._session = session
        self._factory_id = factory_id
        self._names = names
        self.order = order

    def ids(self, runs: Iterator[Run], skip: int, limit: int) -> list[int]:
        found: list[int] = []
        for run in runs:
            take = min(limit - len(found), run.devices - skip)
            if take > 0:
                found.extend(self._of_run(run, Window(skip, take)))
            skip = max(0, skip - run.devices)
            if len(found) == limit:
                break
        return found

    def _of_run(self, run: Run, window: Window) -> list[int]:
        if self.order.seen_first is not None and run.was_seen:
            return self._by_last_seen(run, window)
        if self._names.pattern is not None:
            return self._by_name(run, window)
        if self.order.names_down:
            return self._in_pieces(run, window.seen_from_end(run.devices))[::-1]
        return self._in_pieces(run, window)

    def _in_pieces(self, run: Run, window: Window) -> list[int]:
        """Read upwards from the first name of the piece in which the window begins."""
        counts = NameCounts(self._session, self._factory_id, self._names)
        low, high, before, until = self._names.low, self._names.high, 0, 0
        for piece in counts.pieces(None if run.is_whole else run.cohorts):
            if until + piece.devices <= window.skip:
                low, before = piece.names.high, until + piece.devices
            until += piece.devices
            if until >= window.skip + window.take:
                high = piece.names.high
                break
        query = self._select(run, NameRange(low, high)).order_by(devices.c.name)
        return self._fetch(query, Window(window.skip - before, window.take))

    def _by_name(self, run: Run, window: Window) -> list[int]:
        query, name = self._select(run, self._names), devices.c.name
        up, down = query.order_by(name), query.order_by(name.desc())
        there, back = (down, up) if self.order.names_down else (up, down)
        return [row[0] for row in self._from_nearer_end(there, back, window, run.devices)]

    def _by_last_seen(self, run: Run, window: Window) -> list[int]:
        if not self._is_walk_shorter(run, window):
            return self._fetch(self._select(run, self._names).order_by(*self.order.of_seen), window)
        if self.order.follows_index:
            return [row[0] for row in self._walk(run, window, devices.c.id)]
        return self._among_ties(run, window)

    def _is_walk_shorter(self, run: Run, window: Window) -> bool:
        """Is it less to walk over everything seen and pick than to read the devices that are meant and sort them?"""
        if run.is_whole:
            return True
        nearer = min(window.skip, window.seen_from_end(run.devices).skip)
        walked = (nearer + window.take) * seen_devices(self._session, self._factory_id) // run.devices
        return walked <= run.devices * COST_OF_READING

    def _walk(self, run: Run, window: Window, *columns: sa.ColumnElement[Any]) -> list[Row]:
        """Read along the index of times."""
        query, seen, name = self._select_seen(run).with_only_columns(*columns), devices.c.last_seen, devices.c.name
        up, down = query.order_by(seen, name), query.order_by(seen.desc(), name.desc())
        there, back = (up, down) if self.order.seen_first else (down, up)
        return self._from_nearer_end(there, back, window, run.devices)

    def _among_ties(self, run: Run, window: Window) -> list[int]:
        """Sort against the index those alone that were seen in the seconds of the window."""
        rows = self._walk(run, window, devices.c.last_seen, devices.c.name)
        (first, its_name), (last, _) = rows[0], rows[-1]
        is_before = devices.c.name < its_name if self.order.seen_first else devices.c.name > its_name
        passed = self._count(self._select_seen(run, *_seen_between(first, first)).where(is_before))
        within = self._select_seen(run, *_seen_between(min(first, last), max(first, last)))
        return self._fetch(within.order_by(*self.order.of_seen), Window(passed, window.take))

    def _from_nearer_end(self, there: Rows, back: Rows, window: Window, total: int) -> list[Row]:
        from_end = window.seen_from_end(total)
        if from_end.skip < window.skip:
            return self._rows(back, from_end)[::-1]
        return self._rows(there, window)

    def _select(self, run: Run, names: NameRange) -> Ids:
        # Either condition alone leaves both databases one index to take: by name, or by cohort and name.
        whose = devices.c.factory_id == self._factory_id if run.is_whole else in_cohorts(devices.c.cohort, run.cohorts)
        return sa.select(devices.c.id).where(whose, *names.conditions(self._session))

    def _select_seen(self, run: Run, *times: sa.ColumnElement[bool]) -> Ids:
        names = () if self._names.is_everything else self._names.conditions(self._session)
        whose = () if run.is_whole else (in_cohorts(devices.c.cohort + 0, run.cohorts),)
        # The times come first: of two bounds SQLite takes the first one to search by.
        return sa.select(devices.c.id).where(
            *times, devices.c.factory_id == self._factory_id, _WAS_SEEN, *names, *whose
        )

    def _count(self, query: Ids) -> int:
        ((found,),) = self._session.query(query.with_only_columns(sa.func.count()))
        return int(found)

    def _fetch(self, query: Ids, window: Window) -> list[int]:
        return [row[0] for row in self._rows(query, window)]

    def _rows(self, query: Rows, window: Window) -> list[Row]:
        return self._session.query(query.limit(window.take).offset(window.skip))


def _seen_between(first: int, last: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    # Two bounds even for one second: of a time that equals it SQLite would no longer see that it lies in the index.
    return devices.c.last_seen >= first, devices.c.last_seen <= last
