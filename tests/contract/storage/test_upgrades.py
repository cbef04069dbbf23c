"""An upgrade from any earlier schema keeps every row (promise P12)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from ownroot.storage import open_database
from ownroot.storage.migrations import HEAD, current_revision
from ownroot.storage.schema import heads
from ownroot.trust.state import Holder
from tests.support.certificates import device_ca, factory_root
from tests.support.postgres import PostgresCluster

EARLIER = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
)


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of its own: these tests make its schema themselves."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.make_database()


@pytest.fixture
def engine(address: str) -> Iterator[sa.Engine]:
    url = sa.make_url(address)
    made = sa.create_engine(url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url)
    yield made
    made.dispose()


def make_schema(engine: sa.Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "ownroot.storage:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def reflected(engine: sa.Engine) -> sa.MetaData:
    tables = sa.MetaData()
    tables.reflect(engine)
    return tables


def fill(engine: sa.Engine) -> None:
    """Put a row into every table that has none yet, parents first; certificates are real ones."""
    root = factory_root()
    ca = device_ca(root, serial=2**160 - 1)
    known: dict[str, Any] = {
        "root_der": root.der,
        "gateway_tls_der": ca.der,
        "est_tls_der": ca.der,
        "certificate_der": ca.der,
        "holder": "online",
        "standing": "disabled",
        "kind": "trust",
        "role": "owner",
        "serial": str(2**160 - 1),
    }
    with engine.begin() as connection:
        for table in reflected(engine).sorted_tables:
            if table.name not in (heads.name, "alembic_version"):
                row = {column.name: known.get(column.name, some(column)) for column in table.columns}
                connection.execute(sa.insert(table).values(row))


def some(column: sa.Column[Any]) -> Any:
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return True
    if isinstance(kind, sa.Integer):
        return 1
    return b"\x01" * 32 if isinstance(kind, sa.LargeBinary) else "1"


def rows(engine: sa.Engine, columns: dict[str, list[str]]) -> dict[str, list[Any]]:
    tables = reflected(engine).tables
    with engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(sa.select(*(tables[name].c[c] for c in names)))]
            for name, names in columns.items()
        }


@pytest.mark.parametrize("revision", EARLIER)
def test_every_row_of_an_earlier_schema_is_kept(engine: sa.Engine, address: str, revision: str) -> None:
    make_schema(engine, revision)
    fill(engine)
    columns = {
        table.name: [column.name for column in table.columns]
        for table in reflected(engine).sorted_tables
        if table.name != "alembic_version"
    }
    before = rows(engine, columns)
    assert all(before.values())

    open_database(address).close()
    assert current_revision(engine) == HEAD
    assert rows(engine, columns) == before


def test_a_state_of_the_first_schema_is_read_with_nothing_commanded(engine: sa.Engine, address: str) -> None:
    make_schema(engine, "0001")
    fill(engine)
    database = open_database(address)
    try:
        pki = database.read(lambda uow: uow.pki.load(1))
        assert [(ca.holder, ca.commanded_at) for ca in pki.device_cas] == [(Holder.ONLINE, None)]
        (revoked,) = pki.revoked_cas
        assert (revoked.serial, revoked.certificate, revoked.holder) == (2**160 - 1, None, Holder.LOCAL)
        assert pki.commands == ()
    finally:
        database.close()


def test_a_server_of_the_first_schema_can_write_beside_one_of_this(engine: sa.Engine, address: str) -> None:
    make_schema(engine, "0001")
    before = reflected(engine)
    open_database(address).close()
    with engine.begin() as connection:
        for name in ("factories", "pki_states", "device_cas", "revoked_serials", "sealed_keys", "changes"):
            table = before.tables[name]
            connection.execute(sa.insert(table).values({column.name: some(column) for column in table.columns}))


def test_a_device_seen_before_the_upgrade_is_not_taken_for_one_never_seen(engine: sa.Engine, address: str) -> None:
    make_schema(engine, "0012")
    fill(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE devices SET last_seen = 3 * 86400 + 7"))
    open_database(address).close()
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT seen_day, absence, not_after FROM devices")).one()
    assert tuple(found) == (3, 0, None)


@pytest.mark.parametrize(("tags", "cohorts"), [("1", 1), ("2", 2)])
def test_a_device_that_comes_after_the_upgrade_joins_those_that_are_like_it(
    engine: sa.Engine, address: str, tags: str, cohorts: int
) -> None:
    make_schema(engine, "0015")
    before = reflected(engine).tables
    with engine.begin() as connection:
        for table in (before["factories"], before["devices"]):
            connection.execute(sa.insert(table).values({column.name: some(column) for column in table.columns}))
    open_database(address).close()
    devices = before["devices"]
    own = {"uuid": "2", "uuid_folded": "2", "name": "2", "spki_sha256": b"\x02" * 32, "next_spki_sha256": b"\x03" * 32}
    with engine.begin() as connection:
        first = connection.execute(sa.select(devices)).mappings().one()
        connection.execute(sa.insert(devices).values({**first, **own, "id": 2, "tags": tags}))
        assert len({row[0] for row in connection.execute(sa.select(devices.c.cohort))}) == cohorts
