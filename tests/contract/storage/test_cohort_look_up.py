"""Finding a device's cohort costs a writer the same, however many different tags a fleet's devices send."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import Factory
from ownroot.storage.migrations import cohort_triggers
from ownroot.storage.migrations.versions.v0016_tags_in_look_up import POSTGRES_LOOK_UP
from ownroot.storage.schema import devices
from tests.contract.storage.test_migrations import engine_of
from tests.support.stored_values import NOW, a_device, sha256

FEW, MANY = 20, 2_000
FIRST = devices.c.id == sa.select(sa.func.min(devices.c.id)).scalar_subquery()
Act = Callable[[sa.Connection], object]


def tags_of(number: int) -> str:
    """Tags as long as a gateway takes them, all but their end alike, with letters that need care in a digest."""
    return "\\ü☃" * 168 + f"{number:08}"


def add_devices(database: Database, factory: Factory, numbers: range) -> None:
    def add(uow: UnitOfWork) -> None:
        for number in numbers:
            uow.devices.add(a_device(factory, f"u{number}", tags=tags_of(number), last_seen=NOW))

    database.write(add).result()


def check_in(number: int) -> Act:
    """Let the first device say that it follows these tags from now on."""
    return lambda connection: connection.execute(
        sa.update(devices).where(FIRST).values(tags=tags_of(number), last_seen=devices.c.last_seen + 1)
    )


def register(number: int) -> Act:
    def act(connection: sa.Connection) -> None:
        like = connection.execute(sa.select(devices).where(FIRST)).mappings().one()
        own = {"uuid": "new", "uuid_folded": "new", "name": "new", "spki_sha256": sha256("new")}
        row = {name: value for name, value in like.items() if name != "id"} | own | {"tags": tags_of(number)}
        connection.execute(sa.insert(devices).values(row))

    return act


def effort(address: str, act: Act) -> int:
    """Count the rows of `device_cohorts` that PostgreSQL looks at, or the steps of SQLite's machine; undo it all."""
    engine = engine_of(address)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("ANALYZE device_cohorts"))
        with engine.connect() as connection, counting(connection) as count:
            act(connection)
            return count()
    finally:
        engine.dispose()


@contextmanager
def counting(connection: sa.Connection) -> Iterator[Callable[[], int]]:
    if connection.dialect.name == "postgresql":
        rows = sa.text(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'device_cohorts'"
        )
        yield lambda: int(connection.execute(rows).scalar_one())
        return
    steps = [0]
    driver: Any = connection.connection.driver_connection

    def step() -> None:
        steps[0] += 1

    driver.set_progress_handler(step, 1)
    yield lambda: steps[0]
    driver.set_progress_handler(None, 0)


@pytest.mark.parametrize("act", [check_in, register])
@pytest.mark.parametrize("number", [1, MANY])
def test_many_different_tags_cost_a_writer_no_more_than_few(
    address: str, database: Database, factory: Factory, act: Callable[[int], Act], number: int
) -> None:
    add_devices(database, factory, range(FEW))
    with_few = effort(address, act(number))
    add_devices(database, factory, range(FEW, MANY))
    assert effort(address, act(number)) <= 2 * with_few


def test_without_the_index_a_look_up_looks_at_them_all(address: str, database: Database, factory: Factory) -> None:
    add_devices(database, factory, range(MANY))

    def act(connection: sa.Connection) -> None:
        connection.execute(sa.text("DROP INDEX device_cohorts_facets"))
        check_in(MANY)(connection)

    assert effort(address, act) > MANY


def test_a_look_up_asks_the_index_for_everything_that_devices_send(address: str, database: Database) -> None:
    engine = engine_of(address)
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            asked = ("target_name=?", "tags=?")
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {cohort_triggers.FILL[1]}")
        else:
            asked = ("Index Cond: ", "(target_name = COALESCE(d.", "(sha256(decode(replace(tags, ")
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            look_up = sa.literal_column(POSTGRES_LOOK_UP.replace("NEW.", "d."))
            select = sa.select(look_up).select_from(devices.alias("d"))
            plan = connection.exec_driver_sql(f"EXPLAIN {select}")
        lines = [str(row[-1]) for row in plan]
    engine.dispose()
    at = next(number for number, line in enumerate(lines) if "device_cohorts_facets" in line)
    search = " ".join(lines[at : at + 2])  # PostgreSQL has the conditions on a line of their own
    assert all(part in search for part in asked)
