"""A factory floor: thousands of boards register at one server, and much goes wrong.

At the end the books are balanced: each device holds one certificate, each certificate the server issued is held by the
device it names, and no impostor has one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from ownroot.sim.floor_boards import IMPOSTORS, Board, Fate, plan_boards
from ownroot.sim.floor_line import Ending, Line, open_line
from ownroot.sim.floor_server import FloorServer
from ownroot.sim.tally import Attempt, Tally, tally

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorPlan:
    """What to simulate.

    `url` is the registration endpoint itself; None: `serve_from` names a PKI directory, and a server of our own serves
    from it, whose plug is pulled `restarts` times and whose journal is read at the end.
    """

    factory: str
    devices: int
    fault_share: float
    at_once: int
    seed: int
    directory: Path
    url: str | None = None
    serve_from: Path | None = None
    restarts: int = 0
    token: str | None = None
    cacert: Path | None = None


@dataclass(frozen=True, slots=True)
class FateReport:
    """What a kind of fault led to: on how many boards it came, how many ended as they should, and how the others."""

    fate: Fate
    boards: int
    as_expected: int
    otherwise: dict[str, int]


@dataclass(frozen=True, slots=True)
class FloorReport:
    """The balance. `issued` is the server's own count, None of a server that is not ours.

    `doubles` are uuids with more than one certificate, `orphans` certificates of the server that no device holds.
    """

    devices: int
    certificates: int
    issued: int | None
    doubles: int
    orphans: int
    restarts: int
    registrations: Tally
    fates: tuple[FateReport, ...]

    @property
    def is_clean(self) -> bool:
        """Did everything end as it should?"""
        balanced = self.certificates == self.devices and self.issued in (None, self.devices)
        return balanced and not (self.doubles or self.orphans or any(fate.otherwise for fate in self.fates))


def run_floor(plan: FloorPlan, progress: Progress) -> FloorReport:
    """Let every board meet its fate, and balance the books.

    Raises:
        UnavailableError: `server-did-not-start`.
        OwnrootError: as `open_line`; at a server that is not ours, why its first board was not registered.
    """
    impostors = IMPOSTORS if plan.serve_from is not None else (Fate.WRONG_FACTORY, Fate.BAD_CSR)
    boards = plan_boards(
        plan.seed, plan.devices, fault_share=plan.fault_share, impostors=impostors, below=plan.directory
    )
    if plan.serve_from is None:
        return _balance(plan, *_run(plan, plan.url or "", boards, progress, None), None)
    place = plan.directory / "server"
    place.mkdir(parents=True)
    server = FloorServer(plan.serve_from, place)
    try:
        server.start(board.device.uuid for board in boards if board.fate is not Fate.NOT_LISTED)
        endings, elapsed = _run(plan, server.url, boards, progress, server)
        return _balance(plan, endings, elapsed, server)
    finally:
        server.stop()


def _run(
    plan: FloorPlan, url: str, boards: Sequence[Board], progress: Progress, server: FloorServer | None
) -> tuple[list[Ending], float]:
    started = perf_counter()
    endpoint, line = open_line(url, factory=plan.factory, seed=plan.seed, token=plan.token, cacert=plan.cacert)
    plugs = {(number + 1) * len(boards) // (plan.restarts + 1) for number in range(plan.restarts)}
    endings: list[Ending] = []
    with endpoint:
        first = _scout(boards) if server is None else None
        if first is not None:
            endings.append(line.knock(first))
        others = [board for board in boards if board is not first]
        for ending in _endings(line, others, plan.at_once):
            endings.append(ending)
            progress("registering", len(endings), len(boards))
            if server is not None and len(endings) in plugs:
                server.pull_the_plug()
    return endings, perf_counter() - started


def _scout(boards: Sequence[Board]) -> Board | None:
    """Choose the board that goes ahead: at somebody else's server the first answer tells whether a run makes sense.

    None, if every board is to meet a fault: an answer would not tell then.
    """
    return next((board for board in boards if board.fate is Fate.SMOOTH), None)


def _endings(line: Line, boards: Iterable[Board], at_once: int) -> Iterator[Ending]:
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        for future in as_completed([pool.submit(line.take, board) for board in boards]):
            yield future.result()


def _balance(plan: FloorPlan, endings: Sequence[Ending], elapsed: float, server: FloorServer | None) -> FloorReport:
    held: dict[str, set[str]] = {}
    for uuid, digest in (ending.holder for ending in endings if ending.holder is not None):
        held.setdefault(uuid, set()).add(digest.hex())
    issued = held if server is None else {uuid: set(found) for uuid, found in server.issued().items()}
    return FloorReport(
        devices=plan.devices,
        certificates=sum(len(found) for found in held.values()),
        issued=None if server is None else sum(len(found) for found in issued.values()),
        doubles=sum(len(found) > 1 for found in issued.values()),
        orphans=sum(len(found - held.get(uuid, set())) for uuid, found in issued.items()),
        restarts=0 if server is None else server.restarts,
        registrations=_tally(endings, elapsed),
        fates=tuple(_fate_report(fate, endings) for fate in Fate),
    )


def _tally(endings: Sequence[Ending], elapsed: float) -> Tally:
    attempts = [Attempt(ending.seconds, ending.surprise) for ending in endings if not ending.board.fate.is_impostor]
    return tally(attempts, elapsed_seconds=elapsed)


def _fate_report(fate: Fate, endings: Sequence[Ending]) -> FateReport:
    met = [ending for ending in endings if ending.board.fate is fate]
    otherwise = Counter(ending.surprise for ending in met if ending.surprise is not None)
    return FateReport(fate, len(met), len(met) - otherwise.total(), dict(otherwise.most_common()))
