"""Registration under the worst of circumstances: a hundred rivals for one uuid, and a server killed where it stands.

Source: architecture.md §8, P2, P3, P7.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from ownroot.config import DATABASE_FILE
from ownroot.pki.encoding import certificate_der, parse_certificate, spki_sha256
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Issuance
from ownroot.storage import open_database
from tests.support.device_csrs import device_csr, new_key
from tests.support.registration_server import Answer, RegistrationServer, registration_server

RIVALS = 100
CLIENTS = 8


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RegistrationServer]:
    with registration_server(tmp_path) as server:
        yield server


def test_a_hundred_rivals_for_one_uuid_leave_one_winner(own_server: RegistrationServer) -> None:
    uuid = str(UUID(int=1))
    documents = [{"csr": device_csr(uuid), "hardware-id": "h"} for _ in range(RIVALS)]
    start = threading.Barrier(RIVALS)

    def compete(document: dict[str, str]) -> int:
        start.wait()
        return own_server.post(document).status

    with ThreadPoolExecutor(RIVALS) as pool:
        statuses = sorted(pool.map(compete, documents))
    assert statuses == [201] + [409] * (RIVALS - 1)


def test_a_hundred_repeats_of_one_request_get_one_certificate(own_server: RegistrationServer) -> None:
    document = {"csr": device_csr(str(UUID(int=2))), "hardware-id": "h"}
    start = threading.Barrier(RIVALS)

    def repeat(_: int) -> str:
        start.wait()
        return own_server.post(document).files["client.pem"]

    with ThreadPoolExecutor(RIVALS) as pool:
        assert len(set(pool.map(repeat, range(RIVALS)))) == 1


# --- kill -9 ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Board:
    """A device on the line: it keeps its key, and asks until it is answered."""

    uuid: str
    document: bytes


@dataclass(slots=True)
class Line:
    """Boards that register while somebody pulls the plug."""

    server: RegistrationServer
    boards: list[Board]
    answered: dict[str, str] = field(default_factory=dict)
    is_over: threading.Event = field(default_factory=threading.Event)
    _next: Iterator[Board] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._next = iter(self.boards)

    def run(self) -> None:
        """Let every board register; returns when each has its certificate."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            for future in [pool.submit(self._work) for _ in range(CLIENTS)]:
                future.result()

    def _work(self) -> None:
        while (board := self._take()) is not None:
            certificate = self._register(board)
            with self._lock:
                self.answered[board.uuid] = certificate

    def _take(self) -> Board | None:
        with self._lock:
            return next(self._next, None)

    def _register(self, board: Board) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not self.is_over.is_set():
            try:
                answer: Answer | None = self.server.post(board.document)
            except (OSError, http.client.HTTPException):
                answer = None
            if answer is not None and answer.status != 503:
                return answer.files["client.pem"]
            time.sleep(0.01)  # the server is down, or just up; the board tries again with the key it has
        raise TimeoutError(f"{board.uuid} was never answered")


def make_boards(count: int) -> list[Board]:
    return [
        Board(uuid, json.dumps({"csr": device_csr(uuid), "hardware-id": "h"}).encode())
        for uuid in (str(UUID(int=1000 + number)) for number in range(count))
    ]


def kill_now_and_then(line: Line, chance: random.Random, done: threading.Event) -> int:
    """Kill the server at a random moment shortly after every few answers; returns how often."""
    kills = 0
    while not done.is_set():
        due = len(line.answered) + chance.randint(5, 40)
        while len(line.answered) < due and not done.wait(0.001):
            pass
        if not done.wait(chance.uniform(0, 0.01)):
            line.server.kill()
            try:
                line.server.restart()
            except BaseException:
                line.is_over.set()
                raise
            kills += 1
    return kills


def issued(uow: UnitOfWork, certificate: str) -> list[Issuance]:
    found = parse_certificate(certificate)
    factory = uow.factories.list()[0]
    (uuid,) = [str(attribute.value) for attribute in found.subject if attribute.oid.dotted_string == "2.5.4.3"]
    return list(uow.issuances.history(factory.id, uuid, spki_sha256(found.public_key())))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.nightly)])
def test_server_killed_at_random_moments_loses_no_certificate_and_doubles_none(
    own_server: RegistrationServer, count: int
) -> None:
    line, done = Line(own_server, make_boards(count)), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_now_and_then, line, random.Random(count), done)
        try:
            line.run()
        finally:
            done.set()
            kills = killer.result()
    assert kills >= count // 50
    assert len(line.answered) == count
    own_server.stop()
    database = open_database(own_server.data / DATABASE_FILE)
    try:
        for uuid, certificate in line.answered.items():
            entries = database.read(lambda uow, text=certificate: issued(uow, text))  # type: ignore[misc]  # the loop's value is bound
            assert certificate_der(parse_certificate(certificate)) in [entry.certificate_der for entry in entries], uuid
            # Asked again and again, a board still holds one certificate only: P7 across any number of crashes.
            assert len([entry for entry in entries if entry.certificate_der is not None]) == 1
        assert database.read(lambda uow: uow.devices.count(uow.factories.list()[0].id)) == count
        assert database.read(lambda uow: list(uow.issuances.open_intents())) == []
    finally:
        database.close()


def test_board_that_lost_its_key_with_the_server_is_not_locked_out(own_server: RegistrationServer) -> None:
    """Killed in the middle of registrations: whoever was never answered may come back with another key."""
    boards = make_boards(40)
    line, died = Line(own_server, boards), threading.Event()

    def once(board: Board) -> None:
        try:
            certificate = own_server.post(board.document).files["client.pem"]
        except (OSError, http.client.HTTPException):
            return
        line.answered[board.uuid] = certificate

    def pull_the_plug() -> None:
        time.sleep(0.05)
        own_server.kill()
        died.set()

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        pool.submit(pull_the_plug)
        list(pool.map(once, boards))
    died.wait(10)
    own_server.restart()
    for board in boards:
        answer = own_server.post({"csr": device_csr(board.uuid, key=new_key()), "hardware-id": "h"})
        if board.uuid in line.answered:
            assert answer.status == 409
        elif answer.status != 201:
            # The certificate was made and only its answer got lost: the key it was made for still gets it.
            assert answer.status == 409
            assert own_server.post(board.document).status == 201
