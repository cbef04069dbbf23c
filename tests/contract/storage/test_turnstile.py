"""Turns among writers, on real files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.storage.turnstile import Turnstile, TurnTimeoutError


class Impatience:
    """A clock that jumps a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def turnstiles(tmp_path: Path) -> Iterator[tuple[Turnstile, Turnstile]]:
    """Of two processes; locks belong to the opened file, so two objects do."""
    pair = [Turnstile(tmp_path / "ownroot.db", timeout_seconds=3, clock=Impatience()) for _ in range(2)]
    yield pair[0], pair[1]
    for turnstile in pair:
        turnstile.close()


def test_one_has_the_turn_and_the_other_waits_in_vain(turnstiles: tuple[Turnstile, Turnstile]) -> None:
    first, second = turnstiles
    with first.turn(), pytest.raises(TurnTimeoutError), second.turn():
        raise AssertionError("two writers at once")


def test_turn_passes_on_when_it_ends(turnstiles: tuple[Turnstile, Turnstile]) -> None:
    for turnstile in (*turnstiles, *turnstiles):
        with turnstile.turn():
            pass


def test_turn_ends_with_an_error_too(turnstiles: tuple[Turnstile, Turnstile]) -> None:
    first, second = turnstiles
    with pytest.raises(ZeroDivisionError), first.turn():
        raise ZeroDivisionError
    with second.turn():
        pass


def test_waiting_in_vain_leaves_the_queue_to_others(turnstiles: tuple[Turnstile, Turnstile]) -> None:
    first, second = turnstiles
    with first.turn(), pytest.raises(TurnTimeoutError), second.turn():
        pass
    with first.turn():
        pass
