"""A key that hangs costs whoever asks about it, and nobody else."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ownroot.api.backend import Backend
from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.api.pki_health import PkiHealthPage
from ownroot.services.backend_keys import Keyring
from ownroot.web.endpoint import Arrival, Call
from tests.support.registering import NOW, RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def test_a_hundred_questions_about_a_hung_key_leave_the_store_readable(
    world: RegistrationWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, opened = threading.Event(), []
    real = Keyring.open

    def hang(ring: Keyring, sealed: Any) -> Any:
        opened.append(sealed)
        assert goes_on.wait(30)
        return real(ring, sealed)

    monkeypatch.setattr(Keyring, "open", hang)
    backend = Backend(world.database, world.keyring, world.issuing.issuers, 8443, None)
    page = PkiHealthPage(backend, GatewayWorkers([]))
    call = Call(Arrival("GET", {}, {}, None, "127.0.0.1", "id", "http://127.0.0.1", NOW), admitted=world.owner)

    async def ask() -> list[Any]:
        asked = [asyncio.create_task(page.examine(replace(call))) for _ in range(100)]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            await backend.read(lambda uow: uow.changes.generation())
        goes_on.set()
        return await asyncio.gather(*asked)

    answers = asyncio.run(ask())
    assert len({id(answer) for answer in answers}) == 100
    assert all(key.fault is None for answer in answers for key in answer.body.keys)
    assert len(opened) == len(answers[0].body.keys)
