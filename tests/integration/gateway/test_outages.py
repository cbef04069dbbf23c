"""Without the database nobody new gets in, the known go on for the grace time, and nothing is half done."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ownroot.errors import UnavailableError
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.postgres import PostgresCluster, running_postgres
from tests.support.tls_device import Device, ask


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with running_postgres() as running:
        yield running


@contextmanager
def outage(cluster: PostgresCluster, url: str) -> Iterator[None]:
    """Nobody reaches this one database until the block ends."""
    database = conninfo_to_dict(url)["dbname"]
    name = sql.Identifier(str(database))
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as operator:
        operator.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        try:
            yield
        finally:
            operator.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def status_of(world: GatewayWorld, uuid: str) -> int:
    return Device(identity=world.device(uuid)).get(world.address).status


def test_unknown_device_is_put_off_and_known_ones_go_on_while_the_database_is_down(cluster: PostgresCluster) -> None:
    url = cluster.make_database()
    with gateway_world(url) as world:
        known = world.device("known")
        with Device(identity=known).connect(world.address) as held:
            assert ask(held).status == 200
            with outage(cluster, url):
                reply = Device(identity=world.device("new")).get(world.address)
                assert (reply.status, reply.text.partition(":")[0]) == (503, "database-unavailable")
                assert int(reply.headers["retry-after"]) > 0
                assert ask(held).status == 200
                assert Device(identity=known).get(world.address).status == 200
        world.await_(lambda: status_of(world, "new") == 200)


def test_everybody_is_refused_when_trust_was_unreadable_for_the_grace_time(cluster: PostgresCluster) -> None:
    url = cluster.make_database()
    with gateway_world(url, trust_grace_seconds=1) as world:
        known = world.device("known")
        assert Device(identity=known).get(world.address).status == 200
        assert world.admin("/readyz") == (200, "ready\n")
        with outage(cluster, url):
            world.await_(lambda: Device(identity=known).get(world.address).status == 503)
            reply = Device(identity=known).get(world.address)
            assert reply.text.startswith("trust-unreadable: ")
            status, reason = world.admin("/readyz")
            assert status == 503
            assert "trust could not be read" in reason
        world.await_(lambda: Device(identity=known).get(world.address).status == 200)
        assert world.admin("/readyz") == (200, "ready\n")


def test_change_made_during_an_outage_acts_when_it_ends(cluster: PostgresCluster) -> None:
    url = cluster.make_database()
    with gateway_world(url) as world:
        gone = world.device("gone")
        assert Device(identity=gone).get(world.address).status == 200
        with outage(cluster, url):
            assert Device(identity=gone).get(world.address).status == 200
        world.await_(lambda: not fails_to_write(world))
        world.delete("gone")
        world.await_(lambda: Device(identity=gone).get(world.address).status == 403)


def fails_to_write(world: GatewayWorld) -> bool:
    try:
        world.write(lambda uow: uow.facts.get("any"))
    except UnavailableError:
        return True
    return False


def test_first_contact_is_put_off_while_another_process_holds_the_write_lock(tmp_path: Path) -> None:
    with gateway_world(tmp_path) as world:
        known = world.device("known")
        assert Device(identity=known).get(world.address).status == 200
        other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        new = world.device("new")
        reply = Device(identity=new).get(world.address)
        assert reply.status == 503
        assert world.stored("new") is None
        assert Device(identity=known).get(world.address).status == 200
        other.execute("ROLLBACK")
        other.close()
        assert Device(identity=new).get(world.address).status == 200
        assert world.stored("new") is not None
