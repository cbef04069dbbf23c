"""What a registration and a check-in cost the store's one writer, with the triggers that count devices and without.

CPU time of the one that writes, in microseconds for each device: on SQLite of the thread, on PostgreSQL of the server's
process for the connection. The best of some rounds, each in a transaction of its own that is undone; what a commit
costs is not in it. One fleet is that of `benchmarks.fleet_rows`, whose devices share a few tags. The other has devices
besides that are alike in everything but that each sends tags of its own.

    python -m benchmarks.fleet_writes [--devices 100000] [--tags 10000]
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.fleet_rows import NOW, make_rows
from benchmarks.report import markdown_table
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import Device, Factory
from ownroot.storage import open_database
from tests.support.postgres import running_postgres
from tests.support.stored_values import OWNER, a_device, a_visit, make_factory

DEVICES, TAGS, ACTS, ROUNDS = 100_000, 10_000, 1_000, 7
_LATER = datetime.fromtimestamp(NOW + 60, UTC)
_TRIGGERS = ("devices_joined", "devices_moved", "devices_left")
Act = Callable[[UnitOfWork], object]


@dataclass(frozen=True, slots=True)
class Fleet:
    """A factory, some of its devices, and the tags that each of them will send next."""

    name: str
    factory: Factory
    uuids: list[str]
    next_tags: list[str]

    def acts(self) -> Iterator[tuple[str, Act]]:
        new = [a_device(self.factory, f"new-{number}") for number in range(ACTS)]
        moved = zip(self.uuids, self.next_tags, strict=True)
        same = [a_visit(self.factory, uuid, seen_at=_LATER) for uuid in self.uuids]
        other = [a_visit(self.factory, uuid, seen_at=_LATER, tags=tags) for uuid, tags in moved]
        yield "registration", lambda uow: _add(uow, new)
        yield "check-in", lambda uow: uow.devices.record_check_ins(same)
        yield "check-in with other tags", lambda uow: uow.devices.record_check_ins(other)


def _add(uow: UnitOfWork, devices: Iterable[Device]) -> None:
    for device in devices:
        uow.devices.add(device)


class _UndoneError(Exception):
    """Ends a round."""


def measure(address: str | Path, devices: int, tags: int) -> list[tuple[str, ...]]:
    """Fill an empty database and time every act; returns fleet, act, and microseconds without and with triggers."""
    with closing(open_database(address)) as database:
        shared = make_factory(database, "shared")
    make_rows(address, "shared", devices, mine=OWNER.polis_id)
    _execute(address, f"UPDATE devices SET seen_day = {NOW // 86_400}")  # noqa: S608  (a number)
    with closing(open_database(address)) as database:
        fleets = [_shared_tags(address, shared), _own_tags(database, tags)]
        found = {True: _time(address, database, fleets)}
        _execute(address, *_without_triggers(address))
        found[False] = _time(address, database, fleets)
    return [(*key, f"{found[False][key]:.0f}", f"{found[True][key]:.0f}") for key in found[True]]


def _shared_tags(address: str | Path, factory: Factory) -> Fleet:
    rows = _execute(address, f"SELECT uuid FROM devices WHERE last_seen > 0 ORDER BY spki_sha256 LIMIT {ACTS}")  # noqa: S608
    return Fleet("shared tags", factory, [str(row[0]) for row in rows], ["nightly"] * ACTS)


def _own_tags(database: Database, tags: int) -> Fleet:
    factory = make_factory(database, "own")
    uuids = [f"own-{number}" for number in range(tags)]
    seen_at = datetime.fromtimestamp(NOW, UTC)
    devices = [a_device(factory, uuid, tags=f"tag-of-{uuid}", last_seen=seen_at) for uuid in uuids]
    database.write(lambda uow: _add(uow, devices)).result()
    return Fleet(f"{tags:,} own tags", factory, uuids[:ACTS], [f"next-of-{uuid}" for uuid in uuids[:ACTS]])


def _time(address: str | Path, database: Database, fleets: list[Fleet]) -> dict[tuple[str, str], float]:
    clock = _clock(address)
    return {
        (fleet.name, name): min(_round(database, act, clock) for _ in range(ROUNDS))
        for fleet in fleets
        for name, act in fleet.acts()
    }


def _round(database: Database, act: Act, clock: Callable[[], float]) -> float:
    spent: list[float] = []

    def work(uow: UnitOfWork) -> None:
        started = clock()
        act(uow)
        spent.append(clock() - started)
        raise _UndoneError

    error = database.write(work).exception()
    if not isinstance(error, _UndoneError):
        raise RuntimeError(f"a round failed: {error!r}") from error
    return spent[0] / ACTS * 1e6


def _clock(address: str | Path) -> Callable[[], float]:
    """Return what tells the CPU seconds that the writer has used."""
    if isinstance(address, Path):
        return time.thread_time
    rows = _execute(address, "SELECT pid FROM pg_stat_activity WHERE application_name = 'ownroot'")
    files = [Path(f"/proc/{pid}/schedstat") for (pid,) in rows]
    return lambda: sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _without_triggers(address: str | Path) -> list[str]:
    if isinstance(address, Path):
        return [f"DROP TRIGGER {name}" for name in _TRIGGERS]
    return ["ALTER TABLE devices DISABLE TRIGGER USER"]


def _execute(address: str | Path, *statements: str) -> list[tuple[Any, ...]]:
    connection: Any = sqlite3.connect(address) if isinstance(address, Path) else psycopg.connect(address)
    with closing(connection), connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def main() -> None:
    """Measure both databases and print a table."""
    parser = argparse.ArgumentParser(description="time writes to a fleet with and without its triggers")
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--tags", type=int, default=TAGS)
    options = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as folder, running_postgres() as cluster:
        for name, address in (("SQLite", Path(folder) / "ownroot.db"), ("PostgreSQL", cluster.make_database())):
            rows += [(name, *row) for row in measure(address, options.devices, options.tags)]
    print(markdown_table(("database", "fleet", "act", "without triggers, µs", "with, µs"), rows))


if __name__ == "__main__":
    main()
