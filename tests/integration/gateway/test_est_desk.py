"""The issuing desk away, mute, or talking nonsense: renewals wait, everything else goes on (docs/adr/0014)."""

import asyncio
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ownroot.errors import UnavailableError
from ownroot.gateway import issuing_desk
from ownroot.wire.issuing_desk import RenewalAnswer, frame
from tests.support.api_owner import ApiOwner
from tests.support.enrolling import Enrolling, code_of, eventually, registered
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.world import running_server


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path, issuing_socket=tmp_path / "issuing.sock") as running:
        yield running


@contextmanager
def desk(path: Path, answer: bytes) -> Iterator[None]:
    """Somebody who answers every question with the same bytes, then hangs up."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)


def test_without_a_desk_renewals_are_503_and_the_rest_goes_on(world: GatewayWorld) -> None:
    device = Enrolling(world.address, world.device("waits"))
    assert device.get().status == 200
    assert world.admin("/readyz") == (200, "ready\n")
    reply = device.enrol()
    assert code_of(reply) == (503, "issuing-desk-away")
    assert 5 <= int(reply.headers["retry-after"]) <= 30
    assert device.get().status == 200
    status, reasons = world.admin("/readyz")
    assert status == 200
    assert "certificates are not renewed" in reasons


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"HTTP/1.1 200 OK\r\n"]
)
def test_a_desk_that_hangs_up_or_talks_nonsense_is_away(world: GatewayWorld, tmp_path: Path, answer: bytes) -> None:
    device = Enrolling(world.address, world.device("waits"))
    with desk(tmp_path / "issuing.sock", answer):
        assert code_of(device.enrol()) == (503, "issuing-desk-away")


def test_an_answer_to_nobodys_question_is_dropped(world: GatewayWorld, tmp_path: Path) -> None:
    device = Enrolling(world.address, world.device("waits"))
    with desk(tmp_path / "issuing.sock", frame(RenewalAnswer(999, b"certificate"))):
        assert code_of(device.enrol()) == (503, "issuing-desk-away")


def test_beyond_what_may_be_under_way_devices_are_told_to_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuing_desk, "_MOST_UNDER_WAY", 2)
    monkeypatch.setattr(issuing_desk, "_ANSWER_SECONDS", 0.5)

    async def three_at_once() -> list[str]:
        async def hold(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(5)

        server = await asyncio.start_unix_server(hold, tmp_path / "issuing.sock")
        client = issuing_desk.IssuingDesk(tmp_path / "issuing.sock")
        outcomes = await asyncio.gather(*(code(client) for _ in range(3)))
        again = await code(client)
        client.close()
        server.close()
        return [*outcomes, again]

    async def code(client: issuing_desk.IssuingDesk) -> str:
        try:
            await client.renew(1, b"certificate", b"csr", peer="192.0.2.1")
        except UnavailableError as error:
            return error.code if 5 <= error.retry_after <= 30 else "no time to wait"
        return "answered"

    away, busy = "issuing-desk-away", "renewals-busy"
    assert asyncio.run(three_at_once()) == [away, away, busy, away]


def test_only_its_own_user_may_open_the_desk_and_it_goes_with_the_server(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1) as server:
        place = server.data_dir / "issuing.sock"
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(place.stat().st_mode)
    assert not place.exists()


def test_api_and_gateway_served_apart_find_each_other_in_the_data_directory(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, part="api") as server,
        running_server(tmp_path, part="gateway", factory=None) as gateway,
    ):
        owner = ApiOwner(server)
        device = registered(owner, "served-apart")
        device.address = gateway.gateway_address
        eventually(lambda: device.get().status == 200)
        assert device.enrol().status == 200


def test_a_gateway_that_is_told_another_place_finds_nobody(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text('issuing_socket = "elsewhere.sock"\n')
    with (
        running_server(tmp_path, part="api") as server,
        running_server(tmp_path, part="gateway", factory=None, options=("--config", str(elsewhere))) as gateway,
    ):
        device = registered(ApiOwner(server), "served-apart")
        device.address = gateway.gateway_address
        eventually(lambda: device.get().status == 200)
        assert code_of(device.enrol()) == (503, "issuing-desk-away")


def test_it_comes_back_with_the_api(tmp_path: Path) -> None:
    with running_server(tmp_path, part="gateway", factory=None) as gateway:
        with running_server(tmp_path, part="api") as server:
            device = registered(ApiOwner(server), "patient")
            device.address = gateway.gateway_address
            eventually(lambda: device.enrol().status == 200)
        assert code_of(device.enrol()) == (503, "issuing-desk-away")
        with running_server(tmp_path, part="api", factory=None):
            eventually(lambda: device.enrol().status == 200)
