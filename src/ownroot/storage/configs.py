"""Configurations, and the clock of each factory's (`fleet.config_times`)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from ownroot.services.records import ConfigChange, ConfigFetch, ConfigKey, ConfigScope, Device
from ownroot.storage.inserts import insert, upsert
from ownroot.storage.schema import config_changes, config_clocks, devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_ADD: Final = insert(
    config_changes,
    "factory_id",
    "scope",
    "scope_name",
    "config_time",
    "created_at",
    "created_by",
    "reason",
    "files",
    "applied_at",
)
_COLUMNS: Final = (
    config_changes.c.config_time,
    config_changes.c.created_at,
    config_changes.c.created_by,
    config_changes.c.reason,
    config_changes.c.files,
    config_changes.c.applied_at,
)
_OF_SCOPE: Final = sa.and_(
    config_changes.c.factory_id == param("factory"),
    config_changes.c.scope == param("wanted_scope"),
    config_changes.c.scope_name == param("wanted_name"),
)
_NEWEST_FIRST: Final = sa.select(*_COLUMNS).where(_OF_SCOPE).order_by(config_changes.c.config_time.desc())
_HISTORY: Final = Statement(_NEWEST_FIRST)
_NEWEST: Final = Statement(_NEWEST_FIRST.limit(sa.literal_column("1")))
_TIMES_OF_SCOPE: Final = Statement(
    sa.select(config_changes.c.config_time).where(_OF_SCOPE).order_by(config_changes.c.config_time.desc())
)
_DROP_UP_TO: Final = Statement(
    sa.delete(config_changes).where(_OF_SCOPE, config_changes.c.config_time <= param("last"))
)
_FORGET: Final = Statement(sa.delete(config_changes).where(_OF_SCOPE))
_SHARED_TIMES: Final = Statement(
    sa.select(config_changes.c.scope_name, sa.func.max(config_changes.c.config_time))
    .where(config_changes.c.factory_id == param("factory"), config_changes.c.scope == param("wanted_scope"))
    .group_by(config_changes.c.scope_name)
)
_CLOCK: Final = Statement(sa.select(config_clocks.c.newest).where(config_clocks.c.factory_id == param("factory")))
_RAISE_CLOCK: Final = upsert(
    config_clocks,
    "factory_id",
    "newest",
    conflict=("factory_id",),
    update=lambda new: {
        "newest": sa.case((new.newest > config_clocks.c.newest, new.newest), else_=config_clocks.c.newest)
    },
)
_IS_DEVICE: Final = sa.and_(
    devices.c.factory_id == param("factory"),
    devices.c.uuid_folded == param("folded"),
    devices.c.uuid == param("wanted"),
)
_STAMP: Final = Statement(
    sa.update(devices)
    .where(_IS_DEVICE)
    .values(config_time=param("new_time"), fetch_config_anew=param("anew", sa.BigInteger))
)
_TRUST_COPY: Final = Statement(
    sa.update(devices)
    .where(_IS_DEVICE, devices.c.spki_sha256 == param("key"))
    .values(fetch_config_anew=sa.literal_column("0"))
)
_DOUBT_ALL: Final = Statement(sa.update(devices).values(fetch_config_anew=sa.literal_column("1")))
_FETCHED: Final = (
    sa.select(sa.func.max(config_changes.c.config_time).label("newest"))
    .where(_OF_SCOPE, config_changes.c.config_time <= param("fetched"))
    .scalar_subquery()
)
_APPLY: Final = Statement(
    sa.update(config_changes)
    .where(_OF_SCOPE, config_changes.c.config_time == _FETCHED, config_changes.c.applied_at == sa.literal_column("0"))
    .values(applied_at=param("at"))
)


class SqlConfigs:
    """Implements `services.repositories.Configs`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, key: ConfigKey, change: ConfigChange, *, kept: int) -> None:
        self._session.run(
            _ADD,
            factory_id=key.factory_id,
            scope=key.scope.value,
            scope_name=key.name,
            config_time=change.config_time,
            created_at=to_seconds(change.created_at),
            created_by=change.by,
            reason=change.reason,
            files=change.sealed,
            applied_at=0,
        )
        times = [row[0] for row in self._session.all(_TIMES_OF_SCOPE, **_of(key))]
        if len(times) > kept:
            self._session.run(_DROP_UP_TO, **_of(key), last=times[kept])

    def newest(self, key: ConfigKey) -> ConfigChange | None:
        row = self._session.one(_NEWEST, **_of(key))
        return None if row is None else _read(row)

    def time_of(self, key: ConfigKey) -> int:
        row = self._session.one(_TIMES_OF_SCOPE, **_of(key))
        return row[0] if row else 0

    def history(self, key: ConfigKey) -> Sequence[ConfigChange]:
        return [_read(row) for row in self._session.all(_HISTORY, **_of(key))]

    def forget(self, key: ConfigKey) -> None:
        self._session.run(_FORGET, **_of(key))

    def times(self, factory_id: int) -> tuple[int, Mapping[int, int]]:
        (factory, groups) = (
            self._session.all(_SHARED_TIMES, factory=factory_id, wanted_scope=scope.value)
            for scope in (ConfigScope.FACTORY, ConfigScope.GROUP)
        )
        return factory[0][1] if factory else 0, {int(name): newest for name, newest in groups}

    def newest_time(self, factory_id: int) -> int:
        row = self._session.one(_CLOCK, factory=factory_id)
        return row[0] if row else 0

    def put_newest_time(self, factory_id: int, config_time: int) -> None:
        self._session.run(_RAISE_CLOCK, factory_id=factory_id, newest=config_time)

    def stamp_device(self, device: Device) -> None:
        self._session.run(
            _STAMP,
            factory=device.factory_id,
            folded=device.uuid.lower(),
            wanted=device.uuid,
            new_time=device.config_time,
            anew=int(device.fetch_config_anew),
        )

    def record_fetches(self, fetches: Iterable[ConfigFetch]) -> None:
        known = list(fetches)
        self._session.run_many(_TRUST_COPY, [_device_row(fetch) for fetch in known])
        self._session.run_many(_APPLY, [_applied_row(fetch) for fetch in known])

    def doubt_every_copy(self) -> None:
        self._session.run(_DOUBT_ALL)


def _of(key: ConfigKey) -> dict[str, Any]:
    return {"factory": key.factory_id, "wanted_scope": key.scope.value, "wanted_name": key.name}


def _device_row(fetch: ConfigFetch) -> dict[str, Any]:
    return {
        "factory": fetch.factory_id,
        "folded": fetch.uuid.lower(),
        "wanted": fetch.uuid,
        "key": fetch.spki_sha256,
    }


def _applied_row(fetch: ConfigFetch) -> dict[str, Any]:
    own = _of(ConfigKey(fetch.factory_id, ConfigScope.DEVICE, fetch.uuid))
    return {**own, "fetched": fetch.config_time, "at": to_seconds(fetch.at)}


def _read(row: Row) -> ConfigChange:
    config_time, created_at, by, reason, files, applied_at = row
    return ConfigChange(
        config_time,
        from_seconds(created_at),
        by,
        reason,
        bytes(files),
        from_seconds(applied_at) if applied_at else None,
    )
