"""Backups of databases that are not as this version would make them: older, newer, damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from ownroot.bootstrap.installation import keyring_of
from ownroot.keystore.kek import Kek
from ownroot.services.records import SealedKeyPurpose
from ownroot.storage.migrations import HEAD
from tests.support.world import operate

KEK = b"k" * 32


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a database in use by nobody."""
    operate(tmp_path / "data", "factory", "create", "acme")
    return tmp_path / "data"


def run(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def revision_of(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def refusal(data: Path) -> str:
    with pytest.raises(AssertionError) as refused:
        operate(data, "backup", str(data.parent / "backup.tar"))
    assert not (data.parent / "backup.tar").exists()
    return str(refused.value)


def make_first_schema(database: Path) -> None:
    """Make a database as the first version left it, with a key of the shared PKI."""
    config = Config()
    config.set_main_option("script_location", "ownroot.storage:migrations")
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    kek = Kek(KEK)
    _, key = keyring_of({purpose: kek.sub_key(purpose.value) for purpose in SealedKeyPurpose}).make(SealedKeyPurpose.CA)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO sealed_keys (scope, spki_sha256, purpose, sealed, pending) VALUES (0, ?, 'ca', ?, 0)",
            (key.spki_sha256, key.sealed),
        )


def test_an_older_schema_is_backed_up_as_it_is_and_restored_to_the_present_one(tmp_path, monkeypatch):
    monkeypatch.setenv("OWNROOT_KEK", "a2tr" * 10 + "a2s=")
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir(mode=0o700)
    make_first_schema(old / "ownroot.db")
    assert operate(old, "backup", str(tmp_path / "backup.tar"))["schema"] == "0001"
    assert revision_of(old / "ownroot.db") == "0001"
    operate(new, "restore", str(tmp_path / "backup.tar"))
    assert revision_of(new / "ownroot.db") == HEAD
    assert sorted(entry.name for entry in new.iterdir()) == ["ownroot.db"]


def test_a_later_schema_is_refused(data):
    run(data / "ownroot.db", "UPDATE alembic_version SET version_num = '9999'")
    assert "schema-unknown" in refusal(data)


def test_a_row_that_refers_to_nothing_is_damage(data):
    run(data / "ownroot.db", "INSERT INTO device_counts (factory_id, devices) VALUES (77, 1)")
    assert "database-damaged" in refusal(data)


def test_a_database_without_the_keys_of_the_shared_pki_is_damage(data):
    run(data / "ownroot.db", "DELETE FROM sealed_keys WHERE scope = 0")
    assert "database-damaged" in refusal(data)


def test_what_is_no_database_is_refused(data):
    (data / "ownroot.db").write_bytes(b"no database at all " * 1000)
    assert "backup-snapshot-failed" in refusal(data)


def test_what_was_deleted_does_not_travel_in_free_pages(data, tmp_path):
    secret, database = b"deleted-and-gone-" * 10, data / "ownroot.db"
    many = "INSERT INTO facts (name, value) SELECT 'secret', replace(hex(zeroblob(20)), '00', 'deleted-and-gone-')"
    run(database, "PRAGMA secure_delete=OFF", many)
    run(database, "PRAGMA secure_delete=OFF", "DELETE FROM facts WHERE name = 'secret'")
    assert secret in database.read_bytes()
    operate(data, "backup", str(tmp_path / "backup.tar"))
    assert secret not in (tmp_path / "backup.tar").read_bytes()
