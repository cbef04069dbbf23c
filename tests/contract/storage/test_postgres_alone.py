"""What only a server can do: close the connection, or be away."""

from collections.abc import Iterator

import psycopg
import pytest

from ownroot.errors import UnavailableError
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import Factory
from ownroot.storage import open_database
from tests.support.stored_values import a_device, make_factory


@pytest.fixture
def database(emptied: str) -> Iterator[Database]:
    opened = open_database(emptied)
    yield opened
    opened.close()


@pytest.fixture
def factory(database: Database) -> Factory:
    return make_factory(database)


def cut_connections(url: str) -> None:
    """Do what a restart of the server does to whoever is connected."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ownroot'")


def test_writing_and_reading_go_on_after_the_server_closed_every_connection(
    emptied: str, database: Database, factory: Factory
) -> None:
    cut_connections(emptied)
    database.write(lambda uow: uow.devices.add(a_device(factory))).result()
    cut_connections(emptied)
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 1


def test_connection_lost_inside_a_transaction_fails_it_whole(
    emptied: str, database: Database, factory: Factory
) -> None:
    def lose_the_connection(uow: UnitOfWork) -> None:
        uow.devices.add(a_device(factory))
        cut_connections(emptied)
        uow.devices.add(a_device(factory, "dev-2"))

    future = database.write(lose_the_connection)
    with pytest.raises(UnavailableError) as refused:
        future.result(30)
    assert refused.value.code == "database-unavailable"
    assert database.read(lambda uow: uow.devices.count(factory.id)) == 0
    database.write(lambda uow: uow.devices.add(a_device(factory))).result(30)


def watch_for_ever(database: Database) -> None:
    while True:
        database.has_foreign_changes()


def test_watching_goes_on_after_its_connection_is_lost(emptied: str, database: Database) -> None:
    while database.has_foreign_changes():
        pass
    cut_connections(emptied)
    with pytest.raises(UnavailableError):
        watch_for_ever(database)
    assert database.has_foreign_changes()


def test_server_that_is_not_there_is_unavailable(tmp_path: object) -> None:
    with pytest.raises(UnavailableError) as refused:
        open_database(f"postgresql://ownroot@/nothing?host={tmp_path}")
    assert refused.value.code == "database-unavailable"


def test_password_is_not_told_when_the_server_is_away(tmp_path: object) -> None:
    with pytest.raises(UnavailableError) as refused:
        open_database(f"postgresql://ownroot:sesame@/nothing?host={tmp_path}")
    assert "sesame" not in f"{refused.value} {refused.value.context}"
