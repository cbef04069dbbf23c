"""The schema that migrations make is the schema the code is written against."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ownroot.services.ports import Database
from ownroot.services.records import Factory
from ownroot.storage import migrate_database, open_database
from ownroot.storage.migrations import HEAD, current_revision
from ownroot.storage.schema import metadata
from tests.support.stored_values import a_device


def engine_of(address: str) -> sa.Engine:
    if address.startswith("postgresql"):
        return sa.create_engine(sa.make_url(address).set(drivername="postgresql+psycopg"))
    return sa.create_engine(f"sqlite:///{address}")


def test_migrated_database_matches_the_tables_of_the_code(address: str, database: Database) -> None:
    with engine_of(address).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", "ownroot.storage:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_opened_database_is_at_the_head(address: str, database: Database) -> None:
    assert current_revision(engine_of(address)) == HEAD


def test_migrating_again_keeps_every_row(address: str, database: Database, factory: Factory) -> None:
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    migrate_database(address)
    reopened = open_database(address)
    assert reopened.read(lambda uow: uow.devices.find(factory.id, "dev-1")) == a_device(factory)
    reopened.close()
