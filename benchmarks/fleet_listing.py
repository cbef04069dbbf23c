"""How long a page of a listing takes with a million devices, over HTTP, on SQLite and PostgreSQL.

python -m benchmarks.fleet_listing [--devices 1000000] [--rounds 25]
"""

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.fleet_rows import make_rows
from benchmarks.issue_certificates import FACTORY, Server, running_api
from benchmarks.report import Section, markdown_table, verdict
from tests.support.postgres import running_postgres

BAR_MS = 50
DEVICES, ROUNDS, LIMIT = 1_000_000, 25, 500
DATABASES = ("SQLite", "PostgreSQL")
FILTERS: Mapping[str, Mapping[str, str]] = {
    "all": {"factory": FACTORY},
    "no factory": {},
    "mine": {"mine": "1"},
    "prod": {"prod": "1"},
    "group": {"group": "line"},
    "match_tag": {"match_tag": "main"},
    "target_name": {"target_name": "image-lmp-5"},
    "tag, group, prod": {"match_tag": "main", "group": "line", "prod": "1"},
    "name=line-*": {"name": "line-*"},
    "name=*-0abc*": {"name": "*-0abc*"},
    "name=*-0*": {"name": "*-0*"},
}
SORTS = ("", "name", "-name", "last_seen", "-last_seen", "-last_seen,name")
DEPTHS = (0.0, 0.5, 0.9)
METHOD = f"""\
The API alone, one process on one core; one client, connection kept alive, pages of {LIMIT} devices at the beginning, in
the middle and at nine tenths of what matches, each cell the worst of the three. Devices have names that are uuids and
names that are not, and facets that hang together as in fleets (`benchmarks.fleet_rows`). PostgreSQL does not wait for
the disk and was vacuumed; both databases fit in the machine's memory."""


@dataclass(frozen=True, slots=True)
class Times:
    """Of one kind of page, in milliseconds."""

    p50: float
    p99: float


Measured = dict[tuple[str, str], Times]


def measure(devices: int = DEVICES, rounds: int = ROUNDS) -> Section:
    """Fill both databases and time every filter in every order."""
    with tempfile.TemporaryDirectory(prefix="ownroot-bench-") as name, running_postgres() as cluster:
        folder, address = Path(name), cluster.make_database()
        for database in DATABASES:
            (folder / database).mkdir()
        sqlite = _of_database(folder / "SQLite", folder / "SQLite" / "ownroot.db", devices, rounds)
        postgres = _of_database(folder / "PostgreSQL", address, devices, rounds)
    rows = [
        (kind, sort or "owner, name", *_cells(sqlite[kind, sort]), *_cells(postgres[kind, sort]))
        for kind, sort in sqlite
    ]
    missed = [key for key in sqlite if max(sqlite[key].p99, postgres[key].p99) > BAR_MS]
    worst = max(times.p99 for found in (sqlite, postgres) for times in found.values())
    return Section(
        f"A page of {LIMIT} among {devices:,} devices",
        METHOD,
        markdown_table(("filter", "order", "SQLite p50 ms", "p99", "PostgreSQL p50 ms", "p99"), rows),
        verdict(
            "slowest kind of page",
            f"{worst:.0f} ms, {len(missed)} of {len(sqlite)} kinds above",
            f"{BAR_MS} ms at p99",
            met=not missed,
        ),
    )


def _of_database(data: Path, database: str | Path, devices: int, rounds: int) -> Measured:
    option = ("--database", database) if isinstance(database, str) else ()
    with running_api(data, *option) as server:
        owner = _asking(server)(f"/ota/factories/{FACTORY}/users/self/")["polis-id"]
        started = time.perf_counter()
        make_rows(database, FACTORY, devices, mine=owner)
        print(f"{devices:,} devices in {time.perf_counter() - started:.0f} s", flush=True)
        ask = _asking(server)  # a connection that has waited so long would be closed
        return {(kind, sort): _time(ask, kind, sort, rounds) for kind in FILTERS for sort in SORTS}


def _time(ask: Callable[[str], dict[str, str]], kind: str, sort: str, rounds: int) -> Times:
    query = {**FILTERS[kind], "limit": str(LIMIT), **({"sortby": sort} if sort else {})}
    total = int(ask(f"/ota/devices/?{urlencode(query)}")["total"])
    found = []
    for depth in DEPTHS:
        path = f"/ota/devices/?{urlencode(query | {'page': str(1 + int(depth * total / LIMIT))})}"
        spent = []
        for _ in range(rounds):
            started = time.perf_counter()
            ask(path)
            spent.append((time.perf_counter() - started) * 1000)
        spent.sort()
        found.append(Times(spent[len(spent) // 2], spent[min(len(spent) - 1, int(len(spent) * 0.99))]))
    times = Times(max(times.p50 for times in found), max(times.p99 for times in found))
    print(f"{kind:18} {sort:16} {total:>9,} p50 {times.p50:6.1f} p99 {times.p99:6.1f} ms", flush=True)
    return times


def _asking(server: Server) -> Callable[[str], dict[str, str]]:
    connection = http.client.HTTPConnection(*server.address, timeout=60)

    def ask(path: str) -> dict[str, str]:
        connection.request("GET", path, headers={"OSF-TOKEN": server.token})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        read: dict[str, str] = json.loads(body)
        return read

    return ask


def _cells(times: Times) -> tuple[str, str]:
    return f"{times.p50:.0f}", f"{times.p99:.0f}"


def main() -> None:
    """Measure with fewer devices, or more."""
    parser = argparse.ArgumentParser(description="time pages of a device listing")
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print(measure(options.devices, options.rounds).markdown())


if __name__ == "__main__":
    main()
