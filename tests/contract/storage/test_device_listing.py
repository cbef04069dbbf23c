"""Pages of devices."""

from datetime import timedelta

import pytest

from ownroot.services.ports import Database
from ownroot.services.records import DeviceFilter, DeviceSort, Factory
from tests.support.stored_values import NOW, a_device, make_factory, make_group

EVERY = DeviceFilter()
FIRST, SECOND = "0" * 24, "1" * 24


@pytest.fixture
def fleet(database: Database, factory: Factory) -> Factory:
    """Five devices; `_` and `B` sort differently by bytes than by most languages."""
    other = make_factory(database, "other")
    edge = make_group(database, factory).ref
    make_group(database, other)
    rows = [
        a_device(factory, "u1", name="b", owner=SECOND, last_seen=NOW, tags="main,beta", production=True),
        a_device(factory, "u2", name="a_x", owner=SECOND, tags="main", group=edge, target_name="t-1"),
        a_device(factory, "u3", name="axx", owner=FIRST, last_seen=NOW + timedelta(1), tags="ain"),
        a_device(factory, "u4", name="B", owner=FIRST, last_seen=NOW),
        a_device(factory, "U5", name="a[x", owner=FIRST, issuer_serial=7),
        a_device(other, "u1"),
    ]
    for row in rows:
        database.write(lambda uow, row=row: uow.devices.add(row)).result()
    return factory


def names(database: Database, factory: Factory, where: DeviceFilter = EVERY, *sort: DeviceSort) -> list[str]:
    page, total = database.read(lambda uow: uow.devices.page(factory.id, where, sort=sort, limit=10, page=1))
    assert total == len(page)
    return [device.name for device in page]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ((), ["B", "a[x", "axx", "a_x", "b"]),
        ((DeviceSort.OWNER_NAME,), ["B", "a[x", "axx", "a_x", "b"]),
        ((DeviceSort.NAME,), ["B", "a[x", "a_x", "axx", "b"]),
        ((DeviceSort.NAME_DESC,), ["b", "axx", "a_x", "a[x", "B"]),
        ((DeviceSort.LAST_SEEN,), ["a[x", "a_x", "B", "b", "axx"]),
        ((DeviceSort.LAST_SEEN_DESC,), ["axx", "b", "B", "a_x", "a[x"]),
        ((DeviceSort.LAST_SEEN_DESC, DeviceSort.NAME), ["axx", "B", "b", "a[x", "a_x"]),
    ],
)
def test_order_is_the_same_on_every_database(
    database: Database, fleet: Factory, sort: tuple[DeviceSort, ...], expected: list[str]
) -> None:
    assert names(database, fleet, EVERY, *sort) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (DeviceFilter(name_pattern="a*"), ["a[x", "a_x", "axx"]),
        (DeviceFilter(name_pattern="a_x"), ["a_x"]),
        (DeviceFilter(name_pattern="a?x"), ["a[x", "a_x", "axx"]),
        (DeviceFilter(name_pattern="a[x"), ["a[x"]),
        (DeviceFilter(name_pattern="%"), []),
        (DeviceFilter(name_pattern="b"), ["b"]),
        (DeviceFilter(uuid="U5"), ["a[x"]),
        (DeviceFilter(uuid="u5"), []),
        (DeviceFilter(group="edge"), ["a_x"]),
        (DeviceFilter(group="none"), []),
        (DeviceFilter(owner=SECOND), ["a_x", "b"]),
        (DeviceFilter(tag="main"), ["a_x", "b"]),
        (DeviceFilter(tag="beta"), ["b"]),
        (DeviceFilter(target_name="t-1"), ["a_x"]),
        (DeviceFilter(production=True), ["b"]),
        (DeviceFilter(production=False, owner=FIRST), ["B", "a[x", "axx"]),
        (DeviceFilter(issuer_serial=7), ["a[x"]),
        (DeviceFilter(issuer_serial=2**160 - 1, owner=FIRST), ["B", "axx"]),
        (DeviceFilter(issuer_serial=8), []),
        (DeviceFilter(name_pattern="' OR 1=1 --"), []),
    ],
)
def test_conditions_select(database: Database, fleet: Factory, where: DeviceFilter, expected: list[str]) -> None:
    assert names(database, fleet, where, DeviceSort.NAME) == expected


def test_pages_cover_every_device_once(database: Database, fleet: Factory) -> None:
    pages = [
        database.read(lambda uow, n=n: uow.devices.page(fleet.id, EVERY, sort=(), limit=2, page=n))
        for n in (1, 2, 3, 4)
    ]
    assert [[device.name for device in page] for page, _ in pages] == [["B", "a[x"], ["axx", "a_x"], ["b"], []]
    assert {total for _, total in pages} == {5}


def test_total_counts_matches_beyond_the_page(database: Database, fleet: Factory) -> None:
    where = DeviceFilter(name_pattern="a*")
    page, total = database.read(lambda uow: uow.devices.page(fleet.id, where, sort=(), limit=1, page=1))
    assert (len(page), total) == (1, 3)
