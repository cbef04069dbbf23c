"""The books of a factory floor are balanced only if everybody has what is theirs."""

from dataclasses import replace

import pytest

from ownroot.sim.factory_floor import FateReport, FloorReport
from ownroot.sim.floor_boards import Fate
from ownroot.sim.tally import Tally

CLEAN = FloorReport(
    devices=2,
    certificates=2,
    issued=2,
    doubles=0,
    orphans=0,
    restarts=1,
    registrations=Tally(done=2, failures={}, per_second=1.0, median_ms=1.0, p99_ms=1.0),
    fates=(FateReport(Fate.BAD_CSR, 1, 1, {}),),
)


def test_balanced_books_are_clean_with_and_without_the_servers_own_count() -> None:
    assert CLEAN.is_clean
    assert replace(CLEAN, issued=None).is_clean


@pytest.mark.parametrize(
    "wrong",
    [
        {"certificates": 1},
        {"issued": 3},
        {"doubles": 1},
        {"orphans": 1},
        {"fates": (FateReport(Fate.BAD_CSR, 1, 0, {"let-in": 1}),)},
    ],
)
def test_one_wrong_entry_is_not_clean(wrong: dict[str, object]) -> None:
    assert not replace(CLEAN, **wrong).is_clean  # type: ignore[arg-type]
