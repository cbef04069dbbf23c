"""A factory floor follows from its seed, and has the boards it says."""

from collections import Counter
from pathlib import Path

import pytest

from ownroot.sim.floor_boards import FAULTS, IMPOSTORS, Board, Fate, plan_boards


def plan(seed: int = 1, devices: int = 100, *, fault_share: float = 0.3) -> tuple[Board, ...]:
    return plan_boards(seed, devices, fault_share=fault_share, impostors=IMPOSTORS, below=Path("floor"))


def test_same_seed_makes_the_same_floor_and_another_seed_another() -> None:
    assert plan() == plan()
    assert plan() != plan(2)


def test_each_fault_gets_its_part_and_impostors_come_besides() -> None:
    fates = Counter(board.fate for board in plan())
    assert {fates[fate] for fate in (*FAULTS, *IMPOSTORS)} == {6}
    assert sum(count for fate, count in fates.items() if not fate.is_impostor) == 100


def test_small_share_still_has_each_fault_once_and_none_has_none() -> None:
    assert {board.fate for board in plan(devices=10, fault_share=0.01)} == set(Fate)
    assert {board.fate for board in plan(fault_share=0.0)} == {Fate.SMOOTH}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_uuids_are_shared_by_twins_alone(share: float) -> None:
    boards = plan(fault_share=share)
    assert len({board.device.uuid for board in boards}) == len(boards)
    twins = [board for board in boards if board.twin is not None]
    assert {board.fate for board in twins} <= {Fate.TWINS}
    assert all(board.twin.uuid == board.device.uuid for board in twins if board.twin)
    assert all(board.twin.directory != board.device.directory for board in twins if board.twin)
