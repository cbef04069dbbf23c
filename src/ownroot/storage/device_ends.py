"""When device certificates end and how often their devices are seen, counted where the rows are.

The index `devices_ends` has every column that is read here, so a million devices are a million entries of one index.
It has days instead of moments: a check-in touches it on the first visit of a day and leaves it alone until the next.
What an absence is worth says `fleet.forecast`; the arithmetic here is the same in whole eighths of a day.
"""

from datetime import UTC, date, datetime
from typing import Any, Final

import sqlalchemy as sa

from ownroot.fleet.forecast import ABSENCES, EIGHTHS, RARELY_SEEN
from ownroot.pki.serials import serial_text
from ownroot.services.forecast_ports import CertificateEnds, EndingDevices, EndsQuestion
from ownroot.services.records import CheckIn
from ownroot.storage.schema import devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import to_seconds

_DAY: Final = 86_400
_WEEK: Final = 7 * _DAY
_FIRST_MONDAY: Final = 4 * _DAY  # 5 January 1970
_FOREVER: Final = 2**62


def _number(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger)


def _constant(value: int) -> sa.ColumnElement[int]:
    return sa.literal_column(str(value), sa.BigInteger)


_IS_DEVICE: Final = (
    devices.c.factory_id == param("factory"),
    devices.c.uuid_folded == param("folded"),
    devices.c.uuid == param("wanted"),
)
_GAP: Final = _number("day") - devices.c.last_seen // _constant(_DAY)
_NEW_END: Final = sa.func.coalesce(_number("new_end"), devices.c.not_after)
# `last_seen` of the visit before is needed, so this runs first. It leaves most visits alone, and the index with them.
_VISIT: Final = Statement(
    sa.update(devices)
    .where(
        *_IS_DEVICE,
        devices.c.last_seen <= param("seen"),
        sa.or_(devices.c.seen_day != _number("day"), devices.c.not_after.is_distinct_from(_NEW_END)),
    )
    .values(
        seen_day=_number("day"),
        absence=sa.case(
            (devices.c.last_seen == _constant(0), devices.c.absence),
            (_GAP * _constant(EIGHTHS) >= devices.c.absence - _GAP, _GAP * _constant(EIGHTHS)),
            else_=devices.c.absence - _GAP,
        ),
        not_after=_NEW_END,
    )
)
_ISSUED: Final = Statement(
    sa.update(devices).where(*_IS_DEVICE, devices.c.spki_sha256 == param("key")).values(not_after=_number("new_end"))
)


_OF_CA: Final = (devices.c.factory_id == param("factory"), devices.c.issuer_serial == param("serial"))


def _ending_between() -> sa.Select[Any]:
    """Count what ends in one span of time; layer by layer, so that each expression is written once."""
    present, latest = devices.c.not_after, _number("ca_end")
    under_way = (_number("today") - devices.c.seen_day) * _constant(EIGHTHS)
    longest = sa.case((devices.c.absence > under_way, devices.c.absence), else_=under_way)
    found = (
        sa.select(
            (sa.case((present > latest, latest), else_=present) // _constant(_DAY)).label("end_day"),
            devices.c.seen_day,
            sa.case((longest > _constant(EIGHTHS), longest), else_=_constant(EIGHTHS)).label("away"),
        )
        .where(*_OF_CA, present >= _number("since"), present < _number("until"))
        .subquery()
    )
    was_seen = found.c.seen_day != _constant(0)
    is_rare = found.c.away >= _constant(RARELY_SEEN.days * EIGHTHS)
    is_regular = sa.and_(was_seen, ~is_rare)
    margin = (found.c.away * _constant(ABSENCES) + _constant(EIGHTHS - 1)) // _constant(EIGHTHS)
    act_by = found.c.end_day - margin
    return sa.select(
        sa.func.count(),
        _count(~was_seen),
        _count(sa.and_(was_seen, is_rare)),
        _count(sa.and_(is_regular, act_by < _number("today"))),
        sa.func.min(sa.case((is_regular, act_by))),
    )


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    return sa.func.sum(sa.case((condition, _constant(1)), else_=_constant(0)))


# One statement for each span: grouping by week would sort a million rows that the index has in order already.
_BETWEEN: Final = Statement(_ending_between())
_COUNT_BETWEEN: Final = Statement(
    sa.select(sa.func.count()).where(
        *_OF_CA, devices.c.not_after >= _number("since"), devices.c.not_after < _number("until")
    )
)
_UNKNOWN: Final = Statement(sa.select(sa.func.count()).where(*_OF_CA, devices.c.not_after.is_(None)))


class SqlDeviceEnds:
    """Implements `services.forecast_ports.DeviceEnds`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def note_issued(self, factory_id: int, uuid: str, spki_sha256: bytes, *, not_after: datetime) -> None:
        self._session.run(
            _ISSUED,
            factory=factory_id,
            folded=uuid.lower(),
            wanted=uuid,
            key=spki_sha256,
            new_end=to_seconds(not_after),
        )

    def note_visits(self, visits: list[CheckIn]) -> None:
        """Store what check-ins tell; before `last_seen` is stored, for the time since then is what an absence is."""
        self._session.run_many(_VISIT, [_visit_row(visit) for visit in visits])

    def by_week(self, question: EndsQuestion) -> CertificateEnds:
        now, issuer_end = to_seconds(question.now), to_seconds(question.issuer_ends_at)
        monday = now - (now - _FIRST_MONDAY) % _WEEK
        horizon = monday + question.weeks * _WEEK
        listed = (
            (start, self._between(question, max(start, now), start + _WEEK)) for start in range(monday, horizon, _WEEK)
        )
        whose = {"factory": question.factory_id, "serial": serial_text(question.issuer_serial)}
        ended_until = now if issuer_end >= now else _FOREVER
        return CertificateEnds(
            unknown=self._number(_UNKNOWN, **whose),
            expired=self._number(_COUNT_BETWEEN, **whose, since=0, until=ended_until),
            beyond_issuer=self._number(_COUNT_BETWEEN, **whose, since=issuer_end + 1, until=_FOREVER),
            weeks=[(_day(start // _DAY), ending) for start, ending in listed if ending.devices],
            later=self._between(question, horizon, _FOREVER),
            later_from=_day(horizon // _DAY),
        )

    def _between(self, question: EndsQuestion, since: int, until: int) -> EndingDevices:
        """Count what ends from one second on until before another; what outlasts the CA ends with it."""
        issuer_end = to_seconds(question.issuer_ends_at)
        if issuer_end < since:
            return EndingDevices()
        row = self._session.one(
            _BETWEEN,
            factory=question.factory_id,
            serial=serial_text(question.issuer_serial),
            ca_end=issuer_end,
            today=day_of(question.now),
            since=since,
            until=until if issuer_end >= until else _FOREVER,
        )
        return EndingDevices() if row is None or not row[0] else _ending(row)

    def _number(self, statement: Statement, **params: Any) -> int:
        row = self._session.one(statement, **params)
        return 0 if row is None else int(row[0])


def day_of(at: datetime | None) -> int:
    """Return the number of the UTC day; 0 for never."""
    return 0 if at is None else to_seconds(at) // _DAY


def _ending(row: Row) -> EndingDevices:
    count, never, rare, overdue, act_by = row
    return EndingDevices(count, int(never), int(rare), int(overdue), None if act_by is None else _day(act_by))


def _day(number: int) -> date:
    return datetime.fromtimestamp(number * _DAY, UTC).date()


def _visit_row(visit: CheckIn) -> dict[str, Any]:
    return {
        "factory": visit.factory_id,
        "folded": visit.uuid.lower(),
        "wanted": visit.uuid,
        "seen": to_seconds(visit.seen_at),
        "day": day_of(visit.seen_at),
        "new_end": None if visit.not_after is None else to_seconds(visit.not_after),
    }
