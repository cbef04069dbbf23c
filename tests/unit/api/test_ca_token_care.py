"""The token beside a running API: sweeps that fail are said in the log, and its faults are known for a second."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog

from ownroot.api.backend import Backend
from ownroot.api.ca_token_care import CaTokenCare
from ownroot.services.backend_keys import Keyring
from ownroot.services.issuers import OnlineIssuers
from ownroot.services.token_keys import CaToken
from tests.support.memory_token import MemoryToken
from tests.support.registering import RegistrationWorld, registration_world
from tests.support.stored_values import a_sealed_key

KEY_ID = b"\x01" * 16


class HangingToken(MemoryToken):
    """A token that answers when it is told to."""

    answers = threading.Event()

    def ids(self, prefix: str) -> frozenset[bytes]:
        self.answers.wait(30)
        return super().ids(prefix)

    def require(self, key_id: bytes | None) -> None:
        self.answers.wait(30)
        super().require(key_id)


@dataclass
class Scene:
    """An API's care for a token in memory, with a clock in hand."""

    world: RegistrationWorld
    memory: MemoryToken = field(default_factory=MemoryToken)
    has_setting: bool = True
    ticks: float = 0.0
    patience_seconds: float = 5.0

    def care(self) -> CaTokenCare:
        keyring = Keyring({}, CaToken(self.memory, "1" * 16) if self.has_setting else None)
        backend = Backend(self.world.database, keyring, OnlineIssuers(keyring), public_gateway_port=8443)
        return CaTokenCare(backend, patience_seconds=self.patience_seconds, ticks=lambda: self.ticks)

    def put_in_service(self, key_id: bytes = KEY_ID) -> None:
        key = replace(a_sealed_key("ca"), token_key_id=key_id)
        self.world.write(lambda uow: uow.keys.add_active(self.world.factory.id, key))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with registration_world(tmp_path) as world:
        yield Scene(world)


def faults(scene: Scene, *acts) -> list[str | None]:
    """Ask for the fault before and after each act."""

    async def ask() -> list[str | None]:
        care = scene.care()
        found = [await care.fault()]
        for act in acts:
            act()
            found.append(await care.fault())
        return [fault and fault.code for fault in found]

    return asyncio.run(ask())


def test_a_token_that_serves_has_no_fault(scene):
    assert faults(scene) == [None]


def test_a_key_in_service_that_is_not_there_is_a_fault(scene):
    scene.put_in_service()
    assert faults(scene) == ["key-gone"]


def test_without_the_setting_a_key_in_service_is_the_fault_and_none_is_none(scene):
    scene.has_setting = False
    assert faults(scene, scene.put_in_service, lambda: setattr(scene, "ticks", 2)) == [
        None,
        None,
        "online-ca-token-missing",
    ]


def test_an_answer_counts_for_a_second_and_changes_are_logged_once(scene):
    def at(ticks: float, *, is_away: bool):
        def act() -> None:
            scene.ticks, scene.memory.is_away = ticks, is_away

        return act

    acts = [at(0.9, is_away=True), at(1.0, is_away=True), at(2.0, is_away=True), at(3.0, is_away=False)]
    with structlog.testing.capture_logs() as logs:
        assert faults(scene, *acts) == [None, None, "token-gone", "token-gone", None]
    assert [(line["log_level"], line.get("code")) for line in logs] == [("error", "token-gone"), ("info", None)]


def test_a_sweep_destroys_and_says_so_and_one_that_cannot_says_that(scene):
    scene.memory.create(KEY_ID, f"ownroot:{'1' * 16}:acme:online-ca")

    async def sweep_twice() -> None:
        care = scene.care()
        scene.memory.is_away = True
        await care.sweep()
        scene.memory.is_away = False
        await care.sweep()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(sweep_twice())
    assert [(line["log_level"], line.get("code"), line.get("keys")) for line in logs] == [
        ("warning", "token-gone", None),
        ("info", None, 1),
    ]
    assert scene.memory.objects == {}


def test_without_the_setting_nothing_is_swept(scene):
    scene.has_setting = False
    scene.memory.create(KEY_ID, f"ownroot:{'1' * 16}:acme:online-ca")
    asyncio.run(scene.care().sweep())
    assert len(scene.memory.objects) == 1


def test_a_token_that_hangs_is_a_fault_and_keeps_nobody_waiting(scene):
    scene.patience_seconds = 0.05
    scene.memory = HangingToken()

    async def ask() -> list[str | None]:
        care = scene.care()
        await care.sweep()
        found = []
        for scene.ticks in range(0, 100, 2):  # as many as a monitor asks in minutes
            found.append(await care.fault())
        assert threading.active_count() < 20
        HangingToken.answers.set()
        scene.ticks = 200
        await asyncio.sleep(0.05)
        return [*(fault and fault.code for fault in found), await care.fault()]

    with structlog.testing.capture_logs() as logs:
        assert asyncio.run(ask()) == ["token-slow"] * 50 + [None]
    assert [line["code"] for line in logs if line["log_level"] != "info"] == ["token-slow", "token-slow"]
