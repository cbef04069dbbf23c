"""Events of devices, in groups by correlation id."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from ownroot.services.report_ports import MAX_EVENTS_PER_UPDATE, MAX_UPDATES, ReportedEvent, Update, UpdateState
from ownroot.storage.inserts import insert_if_absent, insert_returning_id
from ownroot.storage.schema import device_events, device_updates
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_COLUMNS: Final = (
    device_updates.c.id,
    device_updates.c.correlation_id,
    device_updates.c.target_name,
    device_updates.c.version,
    device_updates.c.is_ota,
    device_updates.c.state,
    device_updates.c.started_at,
    device_updates.c.last_at,
)
_OF_REPORTER: Final = device_updates.c.device_id == param("reporter")
_FIND: Final = Statement(
    sa.select(*_COLUMNS).where(_OF_REPORTER, device_updates.c.correlation_id == param("correlation"))
)
_LIST: Final = Statement(sa.select(*_COLUMNS).where(_OF_REPORTER).order_by(device_updates.c.id.desc()))
_ADD: Final = insert_returning_id(
    device_updates,
    "device_id",
    "correlation_id",
    "target_name",
    "version",
    "is_ota",
    "state",
    "started_at",
    "last_at",
)
_SAVE: Final = Statement(
    sa.update(device_updates)
    .where(device_updates.c.id == param("update"))
    .values(
        target_name=param("target"),
        version=param("new_version"),
        is_ota=param("installs"),
        state=param("new_state"),
        last_at=param("at"),
    )
)
# A network away from the database each statement counts, so ids are asked for a handful at a time.
_ASKED_AT_ONCE: Final = 16
_ASKED: Final = tuple(f"event_{number}" for number in range(_ASKED_AT_ONCE))
_KNOWN_EVENTS: Final = Statement(
    sa.select(device_events.c.event_id).where(
        device_events.c.device_id == param("reporter"), device_events.c.event_id.in_([param(name) for name in _ASKED])
    )
)
_ADD_EVENT: Final = insert_if_absent(device_events, "device_id", "update_id", "event_id", "body")
_OF_UPDATE: Final = device_events.c.update_id == param("update")
_EVENTS: Final = Statement(sa.select(device_events.c.body).where(_OF_UPDATE).order_by(device_events.c.id))


def _oldest_beyond(column: sa.Column[Any], condition: sa.ColumnElement[bool], kept: int) -> sa.ScalarSelect[Any]:
    newest_first = sa.select(column).where(condition).order_by(column.desc())
    return newest_first.limit(sa.literal_column("1")).offset(sa.literal_column(str(kept))).scalar_subquery()


_TRIM_UPDATES: Final = Statement(
    sa.delete(device_updates).where(
        _OF_REPORTER, device_updates.c.id <= _oldest_beyond(device_updates.c.id, _OF_REPORTER, MAX_UPDATES)
    )
)
_TRIM_EVENTS: Final = Statement(
    sa.delete(device_events).where(
        _OF_UPDATE, device_events.c.id <= _oldest_beyond(device_events.c.id, _OF_UPDATE, MAX_EVENTS_PER_UPDATE)
    )
)


class SqlDeviceUpdates:
    """Implements `services.report_ports.DeviceUpdates`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, reporter: int, correlation_id: str) -> Update | None:
        row = self._session.one(_FIND, reporter=reporter, correlation=correlation_id)
        return None if row is None else _read(row)

    def list(self, reporter: int) -> Sequence[Update]:
        return [_read(row) for row in self._session.all(_LIST, reporter=reporter)]

    def known_events(self, reporter: int, event_ids: Sequence[str]) -> frozenset[str]:
        known: set[str] = set()
        for start in range(0, len(event_ids), _ASKED_AT_ONCE):
            some = event_ids[start : start + _ASKED_AT_ONCE]
            asked = dict(zip(_ASKED, (*some, *[some[0]] * (_ASKED_AT_ONCE - len(some))), strict=True))
            known.update(row[0] for row in self._session.all(_KNOWN_EVENTS, reporter=reporter, **asked))
        return frozenset(known)

    def put(self, reporter: int, update: Update, events: Sequence[ReportedEvent]) -> None:
        update_id = self._save(update) if update.id else self._add(reporter, update)
        rows = [
            {"device_id": reporter, "update_id": update_id, "event_id": event.id, "body": event.body}
            for event in events
        ]
        self._session.run_many(_ADD_EVENT, rows)
        self._session.run(_TRIM_EVENTS, update=update_id)

    def events(self, update: Update) -> Sequence[bytes]:
        return [bytes(row[0]) for row in self._session.all(_EVENTS, update=update.id)]

    def _add(self, reporter: int, update: Update) -> int:
        row = self._session.one(
            _ADD,
            device_id=reporter,
            correlation_id=update.correlation_id,
            target_name=update.target_name,
            version=update.version,
            is_ota=update.is_ota,
            state=update.state.value,
            started_at=to_seconds(update.started_at),
            last_at=to_seconds(update.last_at),
        )
        if row is None:
            raise AssertionError("the caller looked for this group in the same transaction")
        self._session.run(_TRIM_UPDATES, reporter=reporter)
        return int(row[0])

    def _save(self, update: Update) -> int:
        self._session.run(
            _SAVE,
            update=update.id,
            target=update.target_name,
            new_version=update.version,
            installs=update.is_ota,
            new_state=update.state.value,
            at=to_seconds(update.last_at),
        )
        return update.id


def _read(row: Row) -> Update:
    id_, correlation_id, target_name, version, is_ota, state, started_at, last_at = row
    return Update(
        id_,
        correlation_id,
        target_name,
        version,
        bool(is_ota),
        UpdateState(state),
        from_seconds(started_at),
        from_seconds(last_at),
    )
