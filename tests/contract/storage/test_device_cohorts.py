"""Triggers count devices as they come, change and go; pages and totals come out as if everything had been sorted."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ownroot.fleet.clones import CloneSign
from ownroot.services.ports import Database
from ownroot.services.records import Device, DeviceFilter, DeviceSort, Factory, GroupRef, Suspicion
from ownroot.storage import device_listing, device_pages
from ownroot.storage.migrations.cohort_triggers import LONG_STRETCH
from ownroot.storage.schema import device_cohorts, device_stretches, devices
from tests.contract.storage.test_migrations import engine_of
from tests.support.stored_values import NOW, a_device, a_visit, make_factory, make_group, sha256

OWNERS = ("0" * 24, "1" * 24)
ORDERS: tuple[tuple[DeviceSort, ...], ...] = (
    (),
    (DeviceSort.NAME,),
    (DeviceSort.NAME_DESC, DeviceSort.LAST_SEEN),
    (DeviceSort.LAST_SEEN,),
    (DeviceSort.LAST_SEEN_DESC,),
    (DeviceSort.LAST_SEEN_DESC, DeviceSort.NAME),
    (DeviceSort.LAST_SEEN, DeviceSort.NAME_DESC),
)


@dataclass
class Fleet:
    """A factory's devices, here and in the database."""

    database: Database
    factory: Factory
    groups: list[GroupRef]
    draw: random.Random
    devices: dict[str, Device] = field(default_factory=dict)

    def live(self, steps: int) -> None:
        for step in range(steps):
            acts = (self.add, self.add, self.add, self.describe, self.visit, self.rotate, self.suspect, self.delete)
            act: Callable[[int], None] = self.draw.choice(acts)
            (act if self.devices else self.add)(step)

    def add(self, step: int) -> None:
        draw = self.draw
        device = a_device(
            self.factory,
            f"u{step}",
            name=f"{draw.choice('abr')}{draw.choice('-1')}{step}",
            owner=draw.choice(OWNERS),
            group=draw.choice((None, *self.groups)),
            production=draw.random() < 0.5,
            tags=draw.choice((None, "", "main", "main,beta")),
            target_name=draw.choice((None, "t-1", "t-2")),
            last_seen=draw.choice((None, NOW, NOW + timedelta(seconds=draw.randrange(9)))),
            issuer_serial=draw.choice((5, 6)),
        )
        self.database.write(lambda uow: uow.devices.add(device)).result()
        self.devices[device.uuid] = device

    def describe(self, step: int) -> None:
        draw, one = self.draw, self._any()
        changed = replace(one, name=f"r{step}", owner=draw.choice(OWNERS), group=draw.choice((None, *self.groups)))
        self.database.write(lambda uow: uow.devices.describe(changed)).result()
        self.devices[one.uuid] = changed

    def visit(self, step: int) -> None:
        one, seen_at = self._any(), NOW + timedelta(seconds=10 + step)
        tags = self.draw.choice((None, "main", "x"))
        visit = a_visit(self.factory, one.uuid, seen_at=seen_at, tags=tags)
        self.database.write(lambda uow: uow.devices.record_check_ins([visit])).result()
        self.devices[one.uuid] = replace(one, last_seen=seen_at, tags=one.tags if tags is None else tags)

    def rotate(self, step: int) -> None:
        """Announce a next key, or take it back."""
        one = self._any()
        next_key = None if one.next_spki_sha256 else sha256(f"next {step}")
        changed = replace(one, next_spki_sha256=next_key, next_key_at=NOW if next_key else None)
        self.database.write(lambda uow: uow.devices.replace_key(changed)).result()
        self.devices[one.uuid] = changed

    def suspect(self, _step: int) -> None:
        """Put a device under suspicion, or end that."""
        one = self._any()
        if one.suspicion is None:
            suspicion = Suspicion(CloneSign.TWO_NETWORKS, "seen twice", NOW)
            self.database.write(lambda uow: uow.clones.suspect(one.factory_id, one.uuid, suspicion)).result()
            self.devices[one.uuid] = replace(one, suspicion=suspicion)
        else:
            self.database.write(lambda uow: uow.clones.release(one.factory_id, one.uuid, at=NOW)).result()
            self.devices[one.uuid] = replace(one, suspicion=None, released_at=NOW)

    def delete(self, _step: int) -> None:
        one = self.devices.pop(self._any().uuid)
        self.database.write(lambda uow: uow.devices.delete(one.factory_id, one.uuid)).result()

    def expected(self, where: DeviceFilter, sort: tuple[DeviceSort, ...]) -> list[Device]:
        found = [device for device in self.devices.values() if matches(device, where)]
        for key in reversed(sort or (DeviceSort.OWNER_NAME,)):
            is_down = key in (DeviceSort.NAME_DESC, DeviceSort.LAST_SEEN_DESC)
            if key in (DeviceSort.LAST_SEEN, DeviceSort.LAST_SEEN_DESC):
                if key is sort[-1]:
                    found.sort(key=lambda device: device.name, reverse=is_down)
                found.sort(key=lambda device: device.last_seen or NOW - timedelta(1), reverse=is_down)
            else:
                by_owner = key is DeviceSort.OWNER_NAME
                found.sort(key=lambda d, by_owner=by_owner: (d.owner if by_owner else "", d.name), reverse=is_down)
        return found

    def _any(self) -> Device:
        return self.draw.choice(list(self.devices.values()))


def matches(device: Device, where: DeviceFilter) -> bool:
    wildcards = {"*": ".*", "?": "."}
    pattern = "".join(wildcards.get(letter, re.escape(letter)) for letter in where.name_pattern or "*")
    facets = (
        (where.group, device.group.name if device.group else None),
        (where.owner, device.owner),
        (where.target_name, device.target_name),
        (where.production, device.production),
        (where.issuer_serial, device.issuer_serial),
    )
    return (
        re.fullmatch(pattern, device.name) is not None
        and (where.after is None or device.name > where.after)
        and (device.next_spki_sha256 is not None or not where.rotating)
        and (device.suspicion is not None or not where.suspected)
        and (where.tag is None or where.tag in (device.tags or "").split(","))
        and all(wanted is None or wanted == has for wanted, has in facets)
    )


@pytest.fixture
def fleet(database: Database, factory: Factory) -> Fleet:
    make_factory(database, "other")
    groups = [make_group(database, factory, name).ref for name in ("edge", "line")]
    return Fleet(database, factory, groups, random.Random(13))


def stored(address: str, table: sa.Table, *columns: str) -> list[tuple[object, ...]]:
    engine = engine_of(address)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(*(table.c[name] for name in columns)))]
    engine.dispose()
    return rows


def require_counted(address: str) -> None:
    """Demand that every count is what counting finds, and that no empty cohort is kept."""
    rows = stored(address, devices, "factory_id", "cohort", "name")
    cohorts = dict(stored(address, device_cohorts, "id", "devices"))
    assert cohorts == Counter(cohort for _, cohort, _ in rows)
    counts = {
        row[:3]: row[3] for row in stored(address, device_stretches, "factory_id", "cohort", "first_name", "devices")
    }
    firsts = sorted((factory, first) for factory, cohort, first in counts if cohort == 0)
    found = Counter[tuple[object, ...]]()
    for factory, cohort, name in rows:
        first = max(first for of, first in firsts if of == factory and first <= name)
        found.update([(factory, 0, first), (factory, cohort, first)])
    assert counts == found


def some_filters(draw: random.Random) -> Iterator[DeviceFilter]:
    while True:
        names = DeviceFilter(
            name_pattern=draw.choice((None, None, "a*", "*1*", "r?*", "*", "b*5", "r")), after=draw.choice((None, "b"))
        )
        yield names
        yield replace(
            names,
            group=draw.choice((None, "edge", "nope")),
            owner=draw.choice((None, OWNERS[0])),
            tag=draw.choice((None, "main", "beta", "mai")),
            target_name=draw.choice((None, None, "t-1")),
            production=draw.choice((None, True, False)),
            issuer_serial=draw.choice((None, 5)),
        )
        yield replace(names, rotating=draw.random() < 0.6, suspected=draw.random() < 0.4)


def test_everything_that_happens_to_devices_is_counted(address: str, fleet: Fleet) -> None:
    fleet.live(150)
    require_counted(address)


@pytest.mark.parametrize(
    ("few", "cost_of_reading"), [(0, device_pages.COST_OF_READING), (device_listing.FEW, 0), (0, 0)]
)
def test_pages_and_totals_are_those_of_a_fleet_sorted_in_memory(
    fleet: Fleet, few: int, cost_of_reading: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_listing, "FEW", few)
    monkeypatch.setattr(device_pages, "COST_OF_READING", cost_of_reading)
    fleet.live(120)
    filters = some_filters(fleet.draw)
    for sort in ORDERS * 12:
        where, limit = next(filters), fleet.draw.choice((1, 7, 40))
        expected = fleet.expected(where, sort)
        page = fleet.draw.randrange(1, len(expected) // limit + 3)
        found, total = fleet.database.read(
            lambda uow, w=where, s=sort, n=limit, p=page: uow.devices.page(fleet.factory.id, w, sort=s, limit=n, page=p)
        )
        assert (list(found), total) == (expected[(page - 1) * limit : page * limit], len(expected)), (where, sort)


def test_a_long_stretch_of_names_is_divided_and_pages_stay_right(
    address: str, database: Database, factory: Factory
) -> None:
    count = LONG_STRETCH + 2048
    numbers = list(range(count))
    random.Random(5).shuffle(numbers)
    row = {column.name: None for column in devices.columns if column.nullable} | {
        "factory_id": factory.id,
        "owner": OWNERS[0],
        "spki_der": b"key",
        "production": False,
        "issuer_sha256": b"",
        "issuer_serial": "5",
        "created_at": 1,
        "last_seen": 0,
    }
    engine = engine_of(address)
    with engine.begin() as connection:
        rows = [
            row | {"uuid": f"u{n}", "uuid_folded": f"u{n}", "name": f"n{n:06}", "spki_sha256": sha256(f"{n}")}
            for n in numbers
        ]
        connection.execute(sa.insert(devices), rows)
    engine.dispose()
    firsts = stored(address, device_stretches, "first_name")
    assert len(set(firsts)) > 1
    require_counted(address)
    for page in (1, count // 20, count // 10):
        found, total = database.read(
            lambda uow, p=page: uow.devices.page(factory.id, DeviceFilter(), sort=(DeviceSort.NAME,), limit=10, page=p)
        )
        assert total == count
        assert [device.name for device in found] == [f"n{n:06}" for n in range(page * 10 - 10, page * 10)]
