"""A factory with a million devices, written straight into its tables, on SQLite and PostgreSQL.

What a listing may be narrowed to hangs together as it does in fleets: a device's group says which tags it follows,
which few targets it may run and in which of the sites it was made. The triggers that count devices rest meanwhile; at
the end the devices are counted as the migration did it.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from ownroot.storage.migrations import cohort_triggers

OWNERS = tuple(f"{number:024x}" for number in range(1, 13))
GROUPS = ("alpha", "beta", "canary", "edge", "line", "lab", "rail", "store")
TARGETS, SERIALS = 24, tuple(str(2**150 + number) for number in range(5))
NOW = 1_795_000_000
_COLUMNS = (
    "factory_id, uuid, uuid_folded, name, owner, group_id, spki_der, spki_sha256, production, issuer_sha256, "
    "issuer_serial, created_at, last_seen, tags, target_name, ostree_hash, docker_apps"
)
_TRIGGERS = ("devices_joined", "devices_moved", "devices_left")


def make_rows(database: str | Path, factory: str, count: int, *, mine: str) -> None:
    """Fill a factory that has no devices.

    Args:
        database: of a server that is not running; a path of SQLite or an address of PostgreSQL.
        mine: polis-id of the one whose token will ask; every twelfth device is theirs.
    """
    if isinstance(database, Path):
        _into_sqlite(database, factory, count, mine)
    else:
        _into_postgres(database, factory, count, mine)


def _rows(factory_id: int, groups: list[int], count: int, mine: str) -> Iterator[tuple[Any, ...]]:
    draw = random.Random(7)
    owners = (mine, *OWNERS[1:])
    for number in range(count):
        uuid = f"{draw.getrandbits(128):032x}"
        uuid = f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"
        group = draw.randrange(len(groups) + 1)
        site = (group + draw.randrange(3)) % len(owners)
        name = uuid if number % 2 else f"{(*GROUPS, 'spare')[group]}-{site:02}-{draw.getrandbits(24):06x}-{number:07}"
        is_seen = draw.random() < 0.95
        target = (group * 2 + min(3, int(draw.expovariate(1.0)))) % TARGETS
        yield (
            factory_id,
            uuid,
            uuid,
            name,
            owners[site],
            groups[group] if group < len(groups) else None,
            draw.randbytes(91),
            draw.randbytes(32),
            bool(group % 3 or draw.random() < 0.1),
            b"\x01" * 32,
            SERIALS[(site + (draw.random() < 0.2)) % len(SERIALS)],
            NOW - 90 * 86400,
            NOW - int(draw.expovariate(1 / 900 if draw.random() < 0.9 else 1 / 900_000)) if is_seen else 0,
            ("main", "main,beta", "devel")[group % 3] if is_seen else None,
            f"image-lmp-{target}" if is_seen else None,
            f"{draw.getrandbits(256):064x}" if is_seen else None,
            "shellhttpd,monitor" if is_seen else None,
        )


_GROUP = "INSERT INTO device_groups (factory_id, name, description, created_by, created_at, updated_by, updated_at) "
_GROUP_VALUES = "(?, ?, '', '', 0, '', 0)"


def _into_sqlite(path: Path, factory: str, count: int, mine: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=-262144")
        connection.execute("BEGIN IMMEDIATE")
        ((factory_id,),) = connection.execute("SELECT id FROM factories WHERE name = ?", (factory,))
        connection.executemany(f"{_GROUP} VALUES {_GROUP_VALUES}", [(factory_id, name) for name in GROUPS])
        groups = [row[0] for row in connection.execute("SELECT id FROM device_groups ORDER BY id")]
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'devices' AND sql IS NOT NULL"
        ).fetchall()
        for name in _TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        places = ", ".join("?" for _ in _COLUMNS.split(","))
        insert = f"INSERT INTO devices ({_COLUMNS}) VALUES ({places})"  # noqa: S608  (names of ours)
        connection.executemany(insert, _rows(factory_id, groups, count, mine))
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("UPDATE device_counts SET devices = ? WHERE factory_id = ?", (count, factory_id))
        for statement in (*cohort_triggers.FILL, *cohort_triggers.SQLITE):
            connection.execute(statement)
        connection.execute("COMMIT")


def _into_postgres(address: str, factory: str, count: int, mine: str) -> None:
    with psycopg.connect(address) as connection:
        ((factory_id,),) = connection.execute("SELECT id FROM factories WHERE name = %s", (factory,)).fetchall()
        for name in GROUPS:
            connection.execute(f"{_GROUP} VALUES {_GROUP_VALUES}".replace("?", "%s").encode(), (factory_id, name))
        groups = [row[0] for row in connection.execute("SELECT id FROM device_groups ORDER BY id")]
        connection.execute("ALTER TABLE devices DISABLE TRIGGER USER")
        with connection.cursor().copy(f"COPY devices ({_COLUMNS}) FROM STDIN".encode()) as copy:
            for row in _rows(factory_id, groups, count, mine):
                copy.write_row(row)
        connection.execute("UPDATE device_counts SET devices = %s WHERE factory_id = %s", (count, factory_id))
        for statement in cohort_triggers.FILL:
            connection.execute(statement.encode())
        connection.execute("ALTER TABLE devices ENABLE TRIGGER USER")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
