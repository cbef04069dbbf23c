"""What only SQLite can meet: files, their modes, and a full disk."""

import contextlib
import itertools
import os
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.errors import ConflictError, InvalidInputError, UnavailableError
from ownroot.services.ports import Database
from ownroot.services.records import Factory
from ownroot.storage import open_database
from tests.support.stored_values import NOW, a_device, a_refusal, make_factory


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no room at all; removing the file that is returned makes it again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def add_until_refused(database: Database, factory: Factory, added: list[str]) -> None:
    for number in itertools.count():
        device = a_device(factory, f"dev-{number}", tags="x" * 3_000)
        database.write(lambda uow, device=device: uow.devices.add(device)).result()
        added.append(device.uuid)


def test_full_disk_refuses_writes_and_passes_when_there_is_room_again(small_disk: Path) -> None:
    database, added = open_database(small_disk / "ownroot.db"), []
    factory = make_factory(database)
    filler = fill(small_disk)
    with pytest.raises(UnavailableError) as refused:
        add_until_refused(database, factory, added)
    assert refused.value.code == "database-full"
    assert database.read(lambda uow: uow.devices.count(factory.id)) == len(added)

    filler.unlink()
    database.write(lambda uow: uow.devices.add(a_device(factory, "after"))).result()
    assert [uuid for uuid in added if database.read(lambda uow, u=uuid: uow.devices.find(factory.id, u))] == added
    database.close()


def test_full_disk_fails_every_member_of_the_commit(small_disk: Path) -> None:
    database = open_database(small_disk / "ownroot.db")
    factory = make_factory(database)
    fill(small_disk)
    futures = [
        database.write(lambda uow, n=n: uow.devices.add(a_device(factory, f"dev-{n}", tags="x" * 50_000)))
        for n in range(40)
    ]
    codes = [getattr(future.exception(), "code", None) for future in futures]
    assert "database-full" in codes
    stored = [database.read(lambda uow, n=n: uow.devices.find(factory.id, f"dev-{n}")) is not None for n in range(40)]
    assert stored == [code is None for code in codes]
    database.close()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = open_database(tmp_path / "ownroot.db")
        make_factory(database)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        database.close()
    finally:
        os.umask(before)
    assert {"ownroot.db", "ownroot.db-wal", "ownroot.db-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_commits_are_durable_and_references_checked(tmp_path: Path) -> None:
    database = open_database(tmp_path / "ownroot.db")
    with database._backend.writing() as connection:
        settings = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert settings == ["wal", 2]
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    database.close()


def test_path_and_url_name_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "ownroot.db"
    for address in (path, str(path), f"sqlite:///{path}"):
        database = open_database(address)
        database.write(lambda uow: uow.facts.put_once("first", "kept")).result()
        assert database.read(lambda uow: uow.facts.get("first")) == "kept"
        database.close()


@pytest.mark.parametrize("address", ["mysql://host/name", "sqlite://", "://", "oracle:// what"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        open_database(address)
    assert refused.value.code == "database-url"


def test_directory_that_is_not_there_makes_it_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as refused:
        open_database(tmp_path / "nowhere" / "ownroot.db")
    assert refused.value.code == "database-unavailable"


def test_file_that_is_no_database_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ownroot.db"
    path.write_bytes(b"a letter to my aunt " * 500)
    with pytest.raises(UnavailableError):
        open_database(path)
    assert path.read_bytes() == b"a letter to my aunt " * 500


def test_schema_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ownroot.db"
    open_database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConflictError) as refused:
        open_database(path)
    assert refused.value.code == "schema-unknown"


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT uuid FROM devices WHERE cohort = 1 AND name > 'a' ORDER BY name LIMIT 50", "devices_cohort"),
        ("SELECT uuid FROM devices WHERE factory_id = 1 ORDER BY name DESC LIMIT 50", "devices_name"),
        (
            "SELECT id FROM devices WHERE factory_id = 1 AND last_seen > 0 ORDER BY last_seen DESC, name DESC LIMIT 50",
            "devices_seen",
        ),
        (
            "SELECT id FROM devices WHERE last_seen >= 9 AND last_seen <= 9 AND factory_id = 1 AND last_seen > 0 "
            "AND name < 'm'",
            "devices_seen (factory_id=? AND last_seen>? AND last_seen<?)",
        ),
        ("SELECT id FROM issuances WHERE state = 0 ORDER BY id", "issuances_open"),
        ("SELECT body FROM audit_events WHERE factory_id = 1 ORDER BY sequence DESC LIMIT 9", "audit_events_factory"),
    ],
)
def test_lists_are_read_from_an_index_without_sorting(tmp_path: Path, statement: str, index: str) -> None:
    path = tmp_path / "ownroot.db"
    open_database(path).close()
    with sqlite3.connect(path) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_check_ins_and_refusals_leave_the_generation_alone(tmp_path: Path) -> None:
    database = open_database(tmp_path / "ownroot.db")
    factory = make_factory(database)
    before = database.read(lambda uow: uow.changes.generation())
    database.write(lambda uow: uow.refusals.record([a_refusal(factory, last_at=NOW)])).result()
    assert database.read(lambda uow: uow.changes.generation()) == before
    database.close()
