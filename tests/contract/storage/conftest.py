"""Every test here runs on SQLite and on PostgreSQL, each time on an empty database."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ownroot.services.ports import Database
from ownroot.services.records import Factory
from ownroot.storage import migrate_database, open_database
from ownroot.storage.schema import heads, metadata
from tests.support.postgres import PostgresCluster, running_postgres
from tests.support.stored_values import make_factory


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def migrated(postgres: PostgresCluster) -> str:
    """One PostgreSQL database for all tests; making a hundred of them would take longer than the tests."""
    url = postgres.make_database()
    migrate_database(url)
    return url


@pytest.fixture
def emptied(migrated: str) -> str:
    """The same, as it was after its migration."""
    with psycopg.connect(migrated) as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not heads:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
        connection.execute(
            "UPDATE heads SET audit_size = 0, audit_frontier = '', generation = 0, trust_generation = 0, "
            "forgotten_generation = 0"
        )
    return migrated


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to open the database: as `open_database` takes it."""
    if request.param == "sqlite":
        return str(tmp_path / "ownroot.db")
    url: str = request.getfixturevalue("emptied")
    return url


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    opened = open_database(address)
    yield opened
    opened.close()


@pytest.fixture
def factory(database: Database) -> Factory:
    return make_factory(database)
