"""When device certificates end and how often their devices are seen, counted where the rows are.

The index `devices_ends` has every column that is read here, so a million devices are a million entries of one index.
It has days instead of moments: a check-in touches it on the first visit of a day and leaves it alone until the next.
What an absence is worth says `fleet.forecast`; the arithmetic here is the same in whole eighths of a day.
"""

from datetime import UTC, date, datetime, timedelta
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
_EXPIRED: Final = -1


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


def _by_week() -> sa.Select[Any]:
    """Count by week; layer by layer, so that each expression is written once."""
    present = devices.c.not_after
    # Never earlier than what is stored: a device shows up on the day of its last visit at the latest.
    under_way = (_number("today") - devices.c.seen_day) * _constant(EIGHTHS)
    longest = sa.case((devices.c.absence > under_way, devices.c.absence), else_=under_way)
    seen = (
        sa.select(
            sa.case((present > _number("ca_end"), _number("ca_end")), else_=present).label("ends"),
            sa.case((present > _number("ca_end"), _constant(1)), else_=_constant(0)).label("beyond"),
            devices.c.seen_day,
            sa.case((longest > _constant(EIGHTHS), longest), else_=_constant(EIGHTHS)).label("away"),
        )
        .where(devices.c.factory_id == param("factory"), devices.c.issuer_serial == param("serial"))
        .subquery()
    )
    is_never = seen.c.seen_day == _constant(0)
    is_rare = sa.and_(~is_never, seen.c.away >= _constant(RARELY_SEEN.days * EIGHTHS))
    is_regular = sa.and_(~is_never, seen.c.away < _constant(RARELY_SEEN.days * EIGHTHS))
    act_by = seen.c.ends // _constant(_DAY) - (seen.c.away * _constant(ABSENCES) + _constant(EIGHTHS - 1)) // _constant(
        EIGHTHS
    )
    week = sa.case(
        (seen.c.ends < _number("now"), _constant(_EXPIRED)),
        (seen.c.ends >= _number("horizon"), _number("weeks")),
        else_=(seen.c.ends - _number("monday")) // _constant(_WEEK),
    ).label("week")
    return sa.select(
        week,
        sa.func.count(),
        _count(is_never),
        _count(is_rare),
        _count(sa.and_(is_regular, act_by < _number("today"))),
        sa.func.min(sa.case((is_regular, act_by))),
        sa.func.sum(seen.c.beyond),
    ).group_by(sa.literal_column("1"))


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    return sa.func.sum(sa.case((condition, _constant(1)), else_=_constant(0)))


_BY_WEEK: Final = Statement(_by_week())


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
        now = to_seconds(question.now)
        monday = now - (now - _FIRST_MONDAY) % _WEEK
        rows = self._session.all(
            _BY_WEEK,
            factory=question.factory_id,
            serial=serial_text(question.issuer_serial),
            ca_end=to_seconds(question.issuer_ends_at),
            now=now,
            today=now // _DAY,
            monday=monday,
            horizon=monday + question.weeks * _WEEK,
            weeks=question.weeks,
        )
        return _collect(rows, first=_day(monday // _DAY), weeks=question.weeks)


def day_of(at: datetime | None) -> int:
    """Return the number of the UTC day; 0 for never."""
    return 0 if at is None else to_seconds(at) // _DAY


def _collect(rows: list[Row], *, first: date, weeks: int) -> CertificateEnds:
    by_week = {row[0]: row for row in rows}
    unknown, expired, later = (by_week.pop(key, None) for key in (None, _EXPIRED, weeks))
    ending = [(first + timedelta(weeks=number), _ending(row)) for number, row in sorted(by_week.items())]
    return CertificateEnds(
        unknown=unknown[1] if unknown else 0,
        expired=expired[1] if expired else 0,
        beyond_issuer=sum(int(row[6]) for row in rows),
        weeks=ending,
        later=_ending(later) if later else EndingDevices(),
        later_from=first + timedelta(weeks=weeks),
    )


def _ending(row: Row) -> EndingDevices:
    _, count, never, rare, overdue, act_by, _ = row
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
