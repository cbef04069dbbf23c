"""A prepared data directory: made once, found again by reading alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ownroot.bootstrap.installation import Installation, prepared
from ownroot.errors import ConflictError
from ownroot.services.create_factory import FactoryOrder, create_factory
from ownroot.services.ports import UnitOfWork
from ownroot.services.steps import run_blocking

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@contextmanager
def installed(folder: Path, *, gateway_name: str | None = None) -> Iterator[Installation]:
    url = f"sqlite:///{folder / 'ownroot.db'}"
    with prepared(folder, url, gateway_name=gateway_name, clock=lambda: NOW) as installation:
        yield installation


def shared_root(installation: Installation) -> bytes:
    root = installation.database.read(lambda uow: uow.pki.load(None)).root
    assert root is not None
    return root.fingerprint(root.signature_hash_algorithm)


def test_the_second_start_finds_what_the_first_made(tmp_path):
    with installed(tmp_path, gateway_name="gw.example.com") as first:
        root = shared_root(first)
    with installed(tmp_path) as second:
        assert (shared_root(second), second.base_name) == (root, "gw.example.com")


def test_another_gateway_name_is_refused_and_the_same_is_not(tmp_path):
    with installed(tmp_path, gateway_name="gw.example.com"):
        pass
    with installed(tmp_path, gateway_name="gw.example.com"):
        pass
    with pytest.raises(ConflictError) as refused, installed(tmp_path, gateway_name="gw.example.org"):
        pass
    assert refused.value.code == "gateway-name-fixed"


def test_a_factory_that_a_crash_left_without_a_face_gets_one(tmp_path):
    with installed(tmp_path) as first:
        steps = create_factory(FactoryOrder("acme"), first.keyring, now=NOW)
        factory = first.database.write(next(steps)).result().factory
        assert first.database.read(lambda uow: uow.pki.shared_tls(factory.id)) is None
    with installed(tmp_path) as second:
        assert second.database.read(lambda uow: uow.pki.shared_tls(factory.id)) is not None


def test_a_prepared_directory_is_opened_while_somebody_else_is_writing(tmp_path):
    with installed(tmp_path) as server:
        run_blocking(create_factory(FactoryOrder("acme"), server.keyring, now=NOW), server.database)
        holding, let_go, opened = threading.Event(), threading.Event(), threading.Event()

        def hold(_uow: UnitOfWork) -> None:
            holding.set()
            assert let_go.wait(30)

        def open_again() -> None:
            with installed(tmp_path):
                opened.set()

        held = server.database.write(hold)
        assert holding.wait(10)
        command = threading.Thread(target=open_again)
        command.start()
        was_opened = opened.wait(10)
        let_go.set()
        held.result(10)
        command.join(30)
        assert was_opened
