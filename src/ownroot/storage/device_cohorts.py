"""Cohorts of devices and how many there are; triggers count them (migration 0015).

Devices of one cohort are alike in everything a listing may be narrowed to but name and uuid. So any combination of
those conditions selects whole cohorts, whose sum is its total. How many of a cohort come before a name is known at the
*stretches* the names of a factory are divided into, each with at most some ten thousand devices.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa

from ownroot.pki.serials import serial_text
from ownroot.services.records import DeviceFilter
from ownroot.storage.name_ranges import NameRange
from ownroot.storage.schema import device_cohorts, device_groups, device_stretches, devices
from ownroot.storage.session import Session

_OF_ALL: Final = 0


@dataclass(frozen=True, slots=True)
class Cohort:
    """One cohort, and how many of its devices are meant."""

    id: int
    owner: str
    seen: bool
    devices: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the names, from one up to but not including another, and how many devices have them."""

    names: NameRange
    devices: int


def matching_cohorts(session: Session, factory_id: int, where: DeviceFilter) -> list[Cohort]:
    """Return the cohorts that meet every condition but those on name and uuid."""
    rows = session.query(
        sa.select(device_cohorts.c.id, device_cohorts.c.owner, device_cohorts.c.seen, device_cohorts.c.devices).where(
            device_cohorts.c.factory_id == factory_id, device_cohorts.c.devices > 0, *_conditions(where)
        )
    )
    return [Cohort(row[0], row[1], bool(row[2]), row[3]) for row in rows]


def seen_devices(session: Session, factory_id: int) -> int:
    """Return how many devices of a factory were ever seen."""
    found = sa.func.sum(device_cohorts.c.devices)
    ((devices_seen,),) = session.query(
        sa.select(found).where(device_cohorts.c.factory_id == factory_id, device_cohorts.c.seen.is_(sa.true()))
    )
    return int(devices_seen or 0)


def in_cohorts(column: sa.ColumnElement[int], cohorts: Iterable[Cohort]) -> sa.ColumnElement[bool]:
    """Say in SQL that a cohort is one of these; there is at least one."""
    return is_one_of(column, (cohort.id for cohort in cohorts))


def is_one_of(column: sa.ColumnElement[int], numbers: Iterable[int]) -> sa.ColumnElement[bool]:
    """Say in SQL that a number is one of some; they are written out, which costs no parameter each."""
    listed: sa.ColumnElement[Any] = sa.literal_column(f"({', '.join(str(int(number)) for number in numbers)})")
    return column.op("IN", is_comparison=True)(listed)


class NameCounts:
    """Counts devices of a factory by their names.

    Where cohorts are asked for, None means all of the factory.
    """

    def __init__(self, session: Session, factory_id: int, names: NameRange) -> None:
        self._session = session
        self._factory_id = factory_id
        self._names = names

    def narrow(self, cohorts: Sequence[Cohort]) -> list[Cohort]:
        """Leave those of the devices that have one of the names, and the cohorts with any."""
        if self._names.is_everything or not cohorts:
            return list(cohorts)
        counts = Counter[int]()
        for query in self._counting(cohorts):
            for cohort, found in self._session.query(query):
                counts[cohort] += int(found)
        return [replace(cohort, devices=counts[cohort.id]) for cohort in cohorts if counts[cohort.id]]

    def _counting(self, cohorts: Sequence[Cohort]) -> "Iterator[sa.Select[tuple[int, int]]]":
        ends, parts = self._divide()
        if ends:
            cohort, found = device_stretches.c.cohort, sa.func.sum(device_stretches.c.devices)
            yield sa.select(cohort, found).where(*self._in_stretches(ends, cohorts)).group_by(cohort)
        for part in parts:
            conditions = (in_cohorts(devices.c.cohort, cohorts), *part.conditions(self._session))
            yield sa.select(devices.c.cohort, sa.func.count()).where(*conditions).group_by(devices.c.cohort)

    def pieces(self, cohorts: Sequence[Cohort] | None) -> list[Piece]:
        """Divide the names where stretches begin, in their order. For a range without a pattern."""
        ends, parts = self._divide()
        found = [Piece(part, self._count(part, cohorts)) for part in parts]
        if ends:
            found.extend(self._stretch_pieces(ends, cohorts))
        return sorted(found, key=lambda piece: piece.names.low)

    def _divide(self) -> tuple[list[str], list[NameRange]]:
        """Return where the stretches begin and end that lie in the range as a whole, and what else it has."""
        names = self._names
        if names.pattern is not None:
            return [], [names]
        first_name = device_stretches.c.first_name
        rows = self._session.query(
            sa.select(first_name)
            .where(
                device_stretches.c.factory_id == self._factory_id,
                device_stretches.c.cohort == _OF_ALL,
                first_name >= names.low,
                first_name < names.high,
            )
            .order_by(first_name)
        )
        ends = [first for (first,) in rows]
        if names.has_no_end:
            ends.append(names.high)
        if len(ends) < 2:
            return [], [names]
        parts = (NameRange(names.low, ends[0]), NameRange(ends[-1], names.high))
        return ends, [part for part in parts if part.low < part.high]

    def _stretch_pieces(self, ends: list[str], cohorts: Sequence[Cohort] | None) -> Iterator[Piece]:
        rows = self._session.query(
            sa.select(device_stretches.c.first_name, sa.func.sum(device_stretches.c.devices))
            .where(*self._in_stretches(ends, cohorts))
            .group_by(device_stretches.c.first_name)
        )
        counts = {first: int(found) for first, found in rows}
        for low, high in pairwise(ends):
            yield Piece(NameRange(low, high), counts.get(low, 0))

    def _in_stretches(self, ends: list[str], cohorts: Sequence[Cohort] | None) -> tuple[Any, ...]:
        column = device_stretches.c.cohort
        return (
            device_stretches.c.factory_id == self._factory_id,
            column == _OF_ALL if cohorts is None else in_cohorts(column, cohorts),
            device_stretches.c.first_name >= ends[0],
            device_stretches.c.first_name < ends[-1],
        )

    def _count(self, part: NameRange, cohorts: Sequence[Cohort] | None) -> int:
        whose = devices.c.factory_id == self._factory_id if cohorts is None else in_cohorts(devices.c.cohort, cohorts)
        ((found,),) = self._session.query(
            sa.select(sa.func.count()).select_from(devices).where(whose, *part.conditions(self._session))
        )
        return int(found)


def _conditions(where: DeviceFilter) -> Iterator[sa.ColumnElement[bool]]:
    cohorts = device_cohorts.c
    if where.group is not None:
        named = sa.select(device_groups.c.id).where(
            device_groups.c.factory_id == cohorts.factory_id, device_groups.c.name == where.group
        )
        yield cohorts.group_id == named.scalar_subquery()
    if where.owner is not None:
        yield cohorts.owner == where.owner
    if where.target_name is not None:
        yield cohorts.target_name == where.target_name
    if where.production is not None:
        yield cohorts.production == where.production
    if where.issuer_serial is not None:
        yield cohorts.issuer_serial == serial_text(where.issuer_serial)
    if where.rotating:
        yield cohorts.rotating.is_(sa.true())
    if where.suspected:
        yield cohorts.suspected.is_(sa.true())
    if where.tag is not None:
        # One of a comma list: both databases know replace(), and a list without the tag comes out unchanged.
        listed = sa.literal(",").concat(cohorts.tags).concat(",")
        yield sa.func.replace(listed, f",{where.tag},", "") != listed
