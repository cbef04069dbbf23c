"""Pages of devices, at the same cost with ten devices and a million, wherever the page lies.

A listing is a sequence of *runs*: cohorts whose devices stand together in it, in one order. How long each run is we
know without counting (`device_cohorts`), so a page is looked for in the runs it touches and nowhere else:

* by name, from where the stretch begins that holds the page's first device;
* by last check-in, from the nearer end of the run, which walks an index and reads no device.

What a pattern such as `*foo*` matches nothing has counted. Where it is little, one look at every name finds it all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final, TypeAlias

import sqlalchemy as sa

from ownroot.fleet.clones import CloneSign
from ownroot.pki.names import DeviceUuid
from ownroot.pki.serials import parse_serial
from ownroot.services.records import Device, DeviceFilter, DeviceSort, GroupRef, Suspicion
from ownroot.storage.device_cohorts import Cohort, NameCounts, in_cohorts, is_one_of, matching_cohorts
from ownroot.storage.name_ranges import NameRange, name_range
from ownroot.storage.schema import device_groups, devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row
from ownroot.storage.times import from_seconds

DEVICE_COLUMNS: Final = (
    devices.c.factory_id,
    devices.c.uuid,
    devices.c.name,
    devices.c.owner,
    devices.c.spki_der,
    devices.c.spki_sha256,
    devices.c.production,
    devices.c.issuer_sha256,
    devices.c.issuer_serial,
    devices.c.created_at,
    devices.c.next_spki_sha256,
    devices.c.group_id,
    sa.select(device_groups.c.name).where(device_groups.c.id == devices.c.group_id).scalar_subquery(),
    devices.c.last_seen,
    devices.c.tags,
    devices.c.target_name,
    devices.c.ostree_hash,
    devices.c.docker_apps,
    devices.c.config_time,
    devices.c.fetch_config_anew,
    devices.c.next_key_at,
    devices.c.not_after,
    devices.c.network4,
    devices.c.network6,
    devices.c.suspected_at,
    devices.c.suspicion,
    devices.c.suspicion_detail,
    devices.c.quarantined_at,
    devices.c.released_at,
)


# Reading a device to learn when it was seen costs about as much as walking over thirty entries of an index.
_COST_OF_READING: Final = 30

# So many matches of a pattern are sorted here rather than looked for once to count and once to find.
FEW: Final = 2_000

# Written out: of a parameter neither database knows that the partial index has all that is asked for.
_WAS_SEEN: Final = sa.text("devices.last_seen > 0")

Ids: TypeAlias = "sa.Select[tuple[int]]"


@dataclass(frozen=True, slots=True)
class Order:
    """How a listing is sorted; the name decides last, and no two devices of a factory share one.

    `seen_first`: by last check-in, from the oldest on; False = from the newest; None = not by that.
    """

    by_owner: bool = False
    seen_first: bool | None = None
    names_down: bool = False


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


def list_devices(  # noqa: PLR0913  (a listing's parameters)
    session: Session, factory_id: int, where: DeviceFilter, *, sort: Sequence[DeviceSort], limit: int, skip: int
) -> tuple[list[Device], int]:
    """Read one page.

    Returns: the devices, and the number of matches on all pages.
    """
    names = name_range(where.name_pattern, after=where.after)
    cohorts = matching_cohorts(session, factory_id, where)
    if where.uuid is not None:
        ids = _id_of(session, factory_id, where.uuid, cohorts, names)
        return _read_devices(session, ids[skip : skip + limit]), len(ids)
    few = None if names.pattern is None else _few_ids(session, cohorts, names, read_order(sort))
    if few is not None:
        return _read_devices(session, few[skip : skip + limit]), len(few)
    meant = NameCounts(session, factory_id, names).narrow(cohorts)
    pages = _Pages(session, factory_id, names, read_order(sort))
    ids = pages.ids(_runs(meant, pages.order, of_whole_factory=where.is_by_name_alone), skip, limit)
    return _read_devices(session, ids), sum(cohort.devices for cohort in meant)


def read_device(row: Row) -> Device:
    """Turn the values of `DEVICE_COLUMNS` into a device."""
    return Device(
        factory_id=row[0],
        uuid=DeviceUuid(row[1]),
        name=row[2],
        owner=row[3],
        spki_der=bytes(row[4]),
        spki_sha256=bytes(row[5]),
        production=bool(row[6]),
        issuer_sha256=bytes(row[7]),
        issuer_serial=parse_serial(row[8]),
        created_at=from_seconds(row[9]),
        next_spki_sha256=None if row[10] is None else bytes(row[10]),
        group=None if row[11] is None else GroupRef(row[11], row[12]),
        last_seen=from_seconds(row[13]) if row[13] else None,
        tags=row[14],
        target_name=row[15],
        ostree_hash=row[16],
        docker_apps=row[17],
        config_time=row[18],
        fetch_config_anew=bool(row[19]),
        next_key_at=None if row[20] is None else from_seconds(row[20]),
        not_after=None if row[21] is None else from_seconds(row[21]),
        networks=(row[22], row[23]),
        suspicion=None if row[24] is None else _read_suspicion(row),
        released_at=None if row[28] is None else from_seconds(row[28]),
    )


def _read_suspicion(row: Row) -> Suspicion:
    quarantined_at = None if row[27] is None else from_seconds(row[27])
    return Suspicion(CloneSign(row[25]), row[26], from_seconds(row[24]), quarantined_at)


def read_order(sort: Sequence[DeviceSort]) -> Order:
    """Read sort keys, down to the first that no two devices share. Of the last check-in alone, ties go its way."""
    seen_first: bool | None = None
    for key in sort or (DeviceSort.OWNER_NAME,):
        match key:
            case DeviceSort.NAME | DeviceSort.NAME_DESC:
                return Order(seen_first=seen_first, names_down=key is DeviceSort.NAME_DESC)
            case DeviceSort.OWNER_NAME if seen_first is None:
                return Order(by_owner=True)
            case DeviceSort.LAST_SEEN | DeviceSort.LAST_SEEN_DESC if seen_first is None:
                seen_first = key is DeviceSort.LAST_SEEN
    return Order(seen_first=seen_first, names_down=sort[-1] is DeviceSort.LAST_SEEN_DESC)


def _runs(cohorts: Sequence[Cohort], order: Order, *, of_whole_factory: bool) -> Iterator[Run]:
    if order.by_owner:
        owner = attrgetter("owner")
        runs = [tuple(same) for _, same in groupby(sorted(cohorts, key=owner), key=owner)]
    elif order.seen_first is not None:
        parts = [tuple(c for c in cohorts if c.seen is seen) for seen in (False, True)]
        runs = parts if order.seen_first else parts[::-1]
    else:
        runs = [tuple(cohorts)]
    for run in runs:
        if run:
            has_all = len(run) == len(cohorts) or (order.seen_first is not None and run[0].seen)
            yield Run(run, is_whole=of_whole_factory and has_all)


class _Pages:
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
            return self._by_name(run, self._names, window, run.devices)
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

    def _by_name(self, run: Run, names: NameRange, window: Window, total: int) -> list[int]:
        upwards = self._select(run, names).order_by(devices.c.name)
        downwards = self._select(run, names).order_by(devices.c.name.desc())
        there, back = (downwards, upwards) if self.order.names_down else (upwards, downwards)
        return self._from_nearer_end(there, back, window, total)

    def _by_last_seen(self, run: Run, window: Window) -> list[int]:
        seen, name = devices.c.last_seen, devices.c.name
        query = self._select_seen(run, window)
        up, down = query.order_by(seen, name), query.order_by(seen.desc(), name.desc())
        there, back = (up, down) if self.order.seen_first else (down, up)
        if self.order.seen_first is not self.order.names_down:
            return self._from_nearer_end(there, back, window, run.devices)
        return self._among_ties(there, back, run, window)

    def _among_ties(self, there: Ids, back: Ids, run: Run, window: Window) -> list[int]:
        """Sort against the index only those seen in the seconds of the window: to sort all before it takes too long."""
        seen, name, total = devices.c.last_seen, devices.c.name, run.devices
        times = self._from_nearer_end(there.with_only_columns(seen), back.with_only_columns(seen), window, total)
        first, is_up = times[0], self.order.seen_first
        if window.seen_from_end(total).skip < window.skip:
            rest = self._select_seen(run, window, seen >= first if is_up else seen <= first)
            passed = total - self._count(rest)
        else:
            passed = self._count(self._select_seen(run, window, seen < first if is_up else seen > first))
        within = self._select_seen(run, window, seen >= min(times), seen <= max(times))
        order = (seen, name.desc()) if is_up else (seen.desc(), name)
        return self._fetch(within.order_by(*order), Window(window.skip - passed, window.take))

    def _from_nearer_end(self, there: Ids, back: Ids, window: Window, total: int) -> list[int]:
        from_end = window.seen_from_end(total)
        if from_end.skip < window.skip:
            return self._fetch(back, from_end)[::-1]
        return self._fetch(there, window)

    def _select(self, run: Run, names: NameRange) -> Ids:
        # Either condition alone leaves both databases one index to take: by name, or by cohort and name.
        whose = devices.c.factory_id == self._factory_id if run.is_whole else in_cohorts(devices.c.cohort, run.cohorts)
        return sa.select(devices.c.id).where(whose, *names.conditions(self._session))

    def _select_seen(self, run: Run, window: Window, *times: sa.ColumnElement[bool]) -> Ids:
        """Walk over everything seen and pick, or read the few that are meant and sort them."""
        names = () if self._names.is_everything else self._names.conditions(self._session)
        # The times come first: of two bounds SQLite takes the first one to search by.
        walk = sa.select(devices.c.id).where(*times, devices.c.factory_id == self._factory_id, _WAS_SEEN, *names)
        if run.is_whole:
            return walk
        nearer = min(window.skip, window.seen_from_end(run.devices).skip)
        walked = (nearer + window.take) * self._seen_in_factory() // run.devices
        if walked > run.devices * _COST_OF_READING:
            return self._select(run, self._names).where(*times)
        return walk.where(in_cohorts(devices.c.cohort + 0, run.cohorts))

    def _seen_in_factory(self) -> int:
        everybody = matching_cohorts(self._session, self._factory_id, DeviceFilter())
        return sum(cohort.devices for cohort in everybody if cohort.seen)

    def _count(self, query: Ids) -> int:
        ((found,),) = self._session.query(query.with_only_columns(sa.func.count()))
        return int(found)

    def _fetch(self, query: Ids, window: Window) -> list[int]:
        return [row[0] for row in self._session.query(query.limit(window.take).offset(window.skip))]


def _id_of(session: Session, factory_id: int, uuid: str, cohorts: Sequence[Cohort], names: NameRange) -> list[int]:
    if not cohorts:
        return []
    found = session.query(
        sa.select(devices.c.id).where(
            devices.c.factory_id == factory_id,
            devices.c.uuid_folded == uuid.lower(),
            devices.c.uuid == uuid,
            in_cohorts(devices.c.cohort + 0, cohorts),
            *names.conditions(session),
        )
    )
    return [row[0] for row in found]


def _few_ids(session: Session, cohorts: Sequence[Cohort], names: NameRange, order: Order) -> list[int] | None:
    """Return all that match, in order; None if they are too many."""
    if not cohorts:
        return []
    # The columns of one index: no device is read to look at its name.
    columns = (devices.c.id, devices.c.cohort, devices.c.name)
    whose = in_cohorts(devices.c.cohort, cohorts)
    found = session.query(sa.select(*columns).where(whose, *names.conditions(session)).limit(FEW + 1))
    if len(found) > FEW:
        return None
    found = sorted(found, key=lambda row: row[2], reverse=order.names_down)
    if order.by_owner:
        owners = {cohort.id: cohort.owner for cohort in cohorts}
        found.sort(key=lambda row: owners[row[1]])
    ids = [row[0] for row in found]
    if ids and order.seen_first is not None:
        rows = session.query(sa.select(devices.c.id, devices.c.last_seen).where(is_one_of(devices.c.id, ids)))
        seen = {row[0]: row[1] for row in rows}
        ids.sort(key=lambda id_: seen[id_], reverse=not order.seen_first)
    return ids


def _read_devices(session: Session, ids: Sequence[int]) -> list[Device]:
    if not ids:
        return []
    rows = session.query(sa.select(devices.c.id, *DEVICE_COLUMNS).where(is_one_of(devices.c.id, ids)))
    found = {row[0]: read_device(row[1:]) for row in rows}
    return [found[id_] for id_ in ids]
