"""What a board of a simulated factory floor goes through, with the code that real devices run.

A board whose answer is lost, whose power goes or whose server is away tries again with the key it has, as its program
promises. Whatever happens, it ends as expected or says otherwise.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import ClassVar, TypeVar

from ownroot.client.access import TOKEN_HEADER
from ownroot.client.registration import RegistrationEndpoint
from ownroot.device.registration import Registered, RegistrationWish, SendRegistration, default_hardware_id, register
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, RefusedError, UnavailableError
from ownroot.pki.encoding import certificate_sha256, parse_certificate
from ownroot.sim.floor_boards import Board, Fate
from ownroot.sim.floor_requests import HangUp, bad_request
from ownroot.sim.identities import SimulatedDevice, place_simulated_key, simulated_key
from ownroot.wire.registration import parse_registration_reply

_PAUSE_SECONDS = 0.2
# A server that is away longer than this is not being restarted, it is gone.
_PATIENCE_SECONDS = 60.0

Result = TypeVar("Result")
Holder = tuple[str, bytes]
"""Who holds which certificate: a uuid and the SHA-256 of its certificate."""


class _PowerLossError(Exception):
    """The board stops here; what it has on its disk is all it knows afterwards."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended for one board. `surprise` None: as it should; `seconds` only of the last, answered request."""

    board: Board
    surprise: str | None
    seconds: float = 0.0
    holder: Holder | None = None


class Line:
    """Takes boards through their fates. Safe to use from many threads."""

    def __init__(self, endpoint: RegistrationEndpoint, hang_up: HangUp, *, factory: str, seed: int) -> None:
        self._endpoint = endpoint
        self._hang_up = hang_up
        self._factory = factory
        self._seed = seed

    def take(self, board: Board) -> Ending:
        """Let one board meet its fate; never raises for what the server does."""
        act = self._acts[board.fate]
        try:
            return act(self, board)
        except OwnrootError as error:
            return Ending(board, error.code)

    def knock(self, board: Board) -> Ending:
        """Let one board register that meets no fault, and wait for nobody.

        Raises:
            OwnrootError: why no board can register there.
        """
        return self._finish(board, self._endpoint.register, is_patient=False)

    def _smooth(self, board: Board) -> Ending:
        return self._finish(board, self._endpoint.register)

    def _lost_answer(self, board: Board) -> Ending:
        def lose(body: bytes) -> bytes:
            try:
                self._hang_up.send(body)
            except OSError as error:
                raise UnavailableError("no-connection", str(error), retry_after=1) from error
            raise UnavailableError("connection-lost", "The board hung up.", retry_after=1)

        try:
            self._register(board.device, lose)
        except UnavailableError:
            return self._finish(board, self._endpoint.register)
        return Ending(board, "registered-without-an-answer")

    def _repeat(self, board: Board) -> Ending:
        first = self._finish(board, self._endpoint.register)
        again = self._finish(board, self._endpoint.register, replace=True)
        return again if again.holder == first.holder else Ending(board, "another-certificate")

    def _power_loss_before_answer(self, board: Board) -> Ending:
        def cut(_body: bytes) -> bytes:
            raise _PowerLossError

        return self._resume(board, cut)

    def _power_loss_after_answer(self, board: Board) -> Ending:
        answered: list[bytes] = []

        def cut(body: bytes) -> bytes:
            answered.append(_patiently(lambda: self._endpoint.register(body)))
            raise _PowerLossError

        ending = self._resume(board, cut)
        lost = parse_certificate(parse_registration_reply(answered[0]).client_pem)
        is_same = ending.holder == (board.device.uuid, certificate_sha256(lost))
        return ending if is_same or ending.surprise else Ending(board, "another-certificate")

    def _resume(self, board: Board, cut: SendRegistration) -> Ending:
        try:
            self._register(board.device, cut)
        except _PowerLossError:
            return self._finish(board, self._endpoint.register)
        return Ending(board, "registered-without-power")

    def _twins(self, board: Board) -> Ending:
        """Both ask at the same moment; one becomes the device, the other hears that the uuid is taken."""
        twins = [Board(device, board.fate) for device in (board.device, board.twin) if device is not None]
        with ThreadPoolExecutor(len(twins)) as pool:
            endings = list(pool.map(self._one_twin, twins))
        winners = [ending for ending in endings if ending.holder is not None]
        if len(winners) != 1:
            return Ending(board, f"{len(winners)}-twins-registered")
        surprises = {ending.surprise for ending in endings if ending.holder is None}
        return Ending(board, None if surprises == {None} else str(surprises), winners[0].seconds, winners[0].holder)

    def _one_twin(self, board: Board) -> Ending:
        try:
            return self._finish(board, self._endpoint.register)
        except ConflictError:
            return Ending(board, None)
        except OwnrootError as error:
            return Ending(board, error.code)

    def _not_listed(self, board: Board) -> Ending:
        return self._refused(board, RefusedError, lambda: self._finish(board, self._endpoint.register))

    def _wrong_factory(self, board: Board) -> Ending:
        factory = f"not-{self._factory}"
        return self._refused(
            board, InvalidInputError, lambda: self._finish(board, self._endpoint.register, factory=factory)
        )

    def _bad_csr(self, board: Board) -> Ending:
        device = board.device
        key = simulated_key(self._seed, device.number)
        body = bad_request(device.number, key, factory=self._factory, uuid=device.uuid)
        return self._refused(board, InvalidInputError, lambda: _patiently(lambda: self._endpoint.register(body)))

    def _refused(self, board: Board, family: type[OwnrootError], act: Callable[[], object]) -> Ending:
        try:
            act()
        except family:
            return Ending(board, None)
        return Ending(board, "let-in")

    def _finish(
        self,
        board: Board,
        send: SendRegistration,
        *,
        replace: bool = False,
        factory: str | None = None,
        is_patient: bool = True,
    ) -> Ending:
        """Register to the end, however often the server is away in between if the board is patient."""
        seconds: list[float] = []

        def timed(body: bytes) -> bytes:
            started = perf_counter()
            answer = send(body)
            seconds.append(perf_counter() - started)
            return answer

        def ask() -> Registered:
            return self._register(board.device, timed, replace=replace, factory=factory)

        done = _patiently(ask) if is_patient else ask()
        return Ending(board, None, seconds[-1], (done.uuid, certificate_sha256(done.certificate)))

    def _register(
        self, device: SimulatedDevice, send: SendRegistration, *, replace: bool = False, factory: str | None = None
    ) -> Registered:
        place_simulated_key(device, simulated_key(self._seed, device.number))
        wish = RegistrationWish(
            factory=factory or self._factory,
            directory=device.directory,
            uuid=device.uuid,
            hardware_id=default_hardware_id(),
        )
        return register(wish, send, replace=replace)

    _acts: ClassVar[dict[Fate, Callable[["Line", Board], Ending]]] = {
        Fate.SMOOTH: _smooth,
        Fate.LOST_ANSWER: _lost_answer,
        Fate.REPEAT: _repeat,
        Fate.POWER_LOSS_BEFORE_ANSWER: _power_loss_before_answer,
        Fate.POWER_LOSS_AFTER_ANSWER: _power_loss_after_answer,
        Fate.TWINS: _twins,
        Fate.NOT_LISTED: _not_listed,
        Fate.WRONG_FACTORY: _wrong_factory,
        Fate.BAD_CSR: _bad_csr,
    }


def open_line(
    url: str, *, factory: str, seed: int, token: str | None, cacert: Path | None
) -> tuple[RegistrationEndpoint, Line]:
    """Open the way to a registration server; the caller closes the endpoint.

    Raises:
        OwnrootError: as `RegistrationEndpoint`.
    """
    endpoint = RegistrationEndpoint(url, token=token, cacert=cacert)
    hang_up = HangUp(url, {} if token is None else {TOKEN_HEADER: token}, cacert)
    return endpoint, Line(endpoint, hang_up, factory=factory, seed=seed)


def _patiently(act: Callable[[], Result]) -> Result:
    """Do something again for as long as the server is away; anything else it says counts."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return act()
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
