"""A real server for the owner's program, one per test process, and a factory of its own for every test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.owner import Owner
from tests.support.relay import Relay, relay_to
from tests.support.tuf_program import TufAdmin
from tests.support.world import RunningServer, running_server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def base_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), workers=1, factory=None) as server:
        yield server


@pytest.fixture
def server(base_server: RunningServer) -> RunningServer:
    return base_server.for_factory(f"acme-{next(_numbers)}")


@pytest.fixture
def relay(server: RunningServer) -> Iterator[Relay]:
    with relay_to(server.api_url) as relay:
        yield relay


@pytest.fixture
def stranger(tmp_path: Path) -> Owner:
    """Somebody who has logged in nowhere."""
    home = tmp_path / "home"
    home.mkdir()
    return Owner(home)


@pytest.fixture
def owner(stranger: Owner, server: RunningServer, relay: Relay) -> Owner:
    """The factory's owner, whose requests pass the relay."""
    return stranger.at(relay.url, factory=server.factory, token=server.owner_token)


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """Where the PKI directory will be."""
    return tmp_path / "pki"


@pytest.fixture
def taken(owner: Owner, relay: Relay, pki: Path) -> Owner:
    """The owner of a factory that was taken over; the relay has forgotten how."""
    done = owner.run("keys", "ca", "create", pki)
    assert done.code == 0, done.err
    relay.requests.clear()
    return owner


@pytest.fixture
def taken_elsewhere(owner: Owner, server: RunningServer, tmp_path: Path) -> Path:
    """The PKI directory of another factory."""
    other = server.for_factory(f"{server.factory}-elsewhere")
    directory = tmp_path / "elsewhere"
    as_other = owner.at(server.api_url, factory=other.factory, token=other.owner_token)
    assert as_other.run("keys", "ca", "create", directory).code == 0
    return directory


@pytest.fixture
def tuf_keys(tmp_path: Path) -> Path:
    """Where the owner's TUF keys will be."""
    return tmp_path / "tuf-keys.tgz"


@pytest.fixture
def root_taken(owner: Owner, relay: Relay, tuf_keys: Path) -> Owner:
    """The owner of a factory whose TUF root was taken over; the relay has forgotten how."""
    done = owner.run("keys", "tuf", "rotate-offline-key", "-r", "root", "--first-time", "-k", tuf_keys, "--yes")
    assert done.code == 0, done.err
    relay.requests.clear()
    return owner


@pytest.fixture
def admin(server: RunningServer) -> TufAdmin:
    """Looks at the TUF repository past the program."""
    return TufAdmin(server)
