"""An API process that is killed at any step of publishing: it is done, or it is not, and no version is used twice."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from ownroot.tuf.metadata import Role
from tests.support.cut_server import Cut, cut_server
from tests.support.postgres import PostgresCluster, running_postgres
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer
from tests.support.world import START_SECONDS, running_server

NEW, LATER = ed25519_signer(11), ed25519_signer(12)
NAMES = ("timestamp.json", "snapshot.json", "targets.json")
_UPDATES, _STORE = "ownroot.services.tuf_root_updates", "ownroot.storage.tuf_repositories:SqlTufRepositories"
# Numbers count calls of the API process, which publishes a target first; the repository is another process's work.
WITHIN = [
    Cut(f"{_UPDATES}:_apply"),
    Cut(f"{_STORE}.add_root", "after", 1),
    Cut(f"{_STORE}.add_root", "after", 2),
    Cut(f"{_UPDATES}:_swap_keys", "after"),
    Cut(f"{_STORE}.drop_update", "after"),
    Cut(f"{_STORE}.next_version", "after", 2),
    Cut(f"{_STORE}.put_documents", "after", 3),
    Cut(f"{_STORE}.put_documents", "after", 4),
    Cut(f"{_UPDATES}:find_document_refusals", "after"),
    Cut(f"{_UPDATES}:_apply", "after"),
]
# Here nobody publishes a target first. SQLite and PostgreSQL differ in how a transaction ends, so two places are enough
# by day.
ON_POSTGRESQL = [
    Cut(f"{_STORE}.add_root", "after", 1),
    Cut(f"{_UPDATES}:_apply", "after"),
    *(
        pytest.param(where, marks=pytest.mark.nightly)
        for where in (
            Cut(f"{_UPDATES}:_apply"),
            Cut(f"{_STORE}.add_root", "after", 2),
            Cut(f"{_UPDATES}:_swap_keys", "after"),
            Cut(f"{_STORE}.drop_update", "after"),
            Cut(f"{_STORE}.next_version", "after", 1),
            Cut(f"{_STORE}.put_documents", "after", 1),
            Cut(f"{_UPDATES}:find_document_refusals", "after"),
        )
    ),
]
# One answer to the target, five to the device and eight to the look around, then begin, two states, stage, and this.
COMMITTED = Cut("ownroot.api.tuf:Reply", "before", 1 + 5 + 8 + 5)


class Seen:
    """Every document that was ever served, by its name and version."""

    def __init__(self, owner: TufAdmin) -> None:
        self._owner = owner
        self._documents: dict[tuple[str, str, int], bytes] = {}

    def look(self) -> tuple[int, int]:
        """Fetch everything; returns the newest root's version and that of what lies below it."""
        newest = [json.loads(self._note("root.json", production=chain))["signed"] for chain in (False, True)]
        assert newest[0]["version"] == newest[1]["version"]
        found = {
            json.loads(self._note(name, tag=tag))["signed"]["version"] for tag in ("main", "devel") for name in NAMES
        }
        assert len(found) == 1, "the documents of all tags have one version"
        return newest[0]["version"], found.pop()

    def _note(self, name: str, *, production: bool = False, tag: str = "") -> bytes:
        data = self._owner.document(name, production=production, tag=tag)
        key = (f"{production} {tag}", name, json.loads(data)["signed"]["version"])
        assert self._documents.setdefault(key, data) == data, f"two documents {key}"
        return data


def publish(owner: TufAdmin, tag: str) -> None:
    form = {"name": f"{tag}-1", "tag": tag, "target": {"length": 0, "hashes": {"sha256": "ab" * 32}}}
    path = f"/ota/factories/{owner.server.factory}/ci-targets/"
    assert owner.server.call("POST", path, document=form).status_code == 201


def wait_for_answers(owner: TufAdmin) -> str:
    """The supervisor starts the API again after a moment; returns the state of the change then."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            return str(owner.state()["status"])
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the API did not come back: {owner.server.log}")


@pytest.mark.parametrize("where", [*WITHIN, COMMITTED], ids=str)
def test_apply_that_is_killed_is_done_whole_or_not_at_all_and_then_again(tmp_path: Path, where: Cut) -> None:
    with cut_server(tmp_path, where) as server:
        owner = TufAdmin(server)
        publish(owner, "devel")
        device, seen = owner.fresh_device(), Seen(owner)
        root, version = seen.look()
        with pytest.raises(httpx2.TransportError):
            owner.rotate_root(NEW)

        is_done = where is COMMITTED
        assert wait_for_answers(owner) == ("NONE" if is_done else "STARTED")
        assert seen.look() == ((root + 1, version + 1) if is_done else (root, version))
        assert owner.apply().status_code == (404 if is_done else 200)

        assert seen.look() == (root + 1, version + 1)
        for trust in (owner.walk(device), owner.fresh_device(), owner.fresh_device(production=True)):
            assert (trust.root.version, trust.root.roles[Role.ROOT].key_ids) == (root + 1, (NEW.key.key_id,))
        assert owner.begin(first_time=True).json()["code"] == "tuf-first-root-key-replaced"


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with running_postgres() as started:
        yield started


@pytest.mark.parametrize("where", ON_POSTGRESQL, ids=str)
def test_apply_that_is_killed_on_postgresql_is_not_done_and_then_again(
    cluster: PostgresCluster, tmp_path: Path, where: Cut
) -> None:
    options = ("--database", cluster.make_database())
    with cut_server(tmp_path, where, factory=None, options=options) as started:
        made = started.run("factory", "create", "acme", *options)
        owner = TufAdmin(
            replace(started, factory="acme", owner_token=made["token"], owner_id=made["owner"]["polis-id"])
        )
        device = owner.fresh_device()
        with pytest.raises(httpx2.TransportError):
            owner.rotate_root(NEW)

        assert wait_for_answers(owner) == "STARTED"
        assert owner.call("GET", "/3.root.json").status_code == 404
        assert owner.apply().status_code == 200
        for trust in (owner.walk(device), owner.fresh_device(), owner.fresh_device(production=True)):
            assert (trust.root.version, trust.root.roles[Role.ROOT].key_ids) == (3, (NEW.key.key_id,))


@pytest.mark.parametrize(
    "where",
    [
        Cut(f"{_STORE}.next_version", "after", 1),
        Cut(f"{_STORE}.put_documents", "after", 1),
        Cut(f"{_STORE}.put_documents", "after", 2),
        Cut("ownroot.bootstrap.installation:renew_expiring", "after", 1),
        Cut("ownroot.bootstrap.api_process:renew_tuf_documents", "after", 1),
    ],
    ids=str,
)
def test_renewal_that_is_killed_is_repeated_and_no_version_is_used_twice(tmp_path: Path, where: Cut) -> None:
    with running_server(tmp_path, part="api") as server:
        owner = TufAdmin(server)
        publish(owner, "devel")
        device, seen = owner.fresh_device(), Seen(owner)
        root, version = seen.look()
    let_expire(server.data_dir / "ownroot.db")

    with cut_server(tmp_path, where, factory=None) as again:
        owner.server = replace(again, factory=server.factory, owner_token=server.owner_token, owner_id=server.owner_id)
        wait_until_killed(owner)
        wait_for_answers(owner)
        wait_for_version(owner, version + 1)
        assert seen.look() == (root, version + 1)
        owner.walk(device)
        owner.fresh_device()


def let_expire(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update tuf_documents set expires_at = 1")


def wait_until_killed(owner: TufAdmin) -> None:
    wait_for(owner, lambda: "a part of the server died" in owner.server.log)


def wait_for_version(owner: TufAdmin, version: int) -> None:
    wait_for(owner, lambda: json.loads(owner.document("timestamp.json", tag="main"))["signed"]["version"] == version)


def wait_for(owner: TufAdmin, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, owner.server.log
        time.sleep(0.05)
