"""Signs of a copied key, and what is none."""

from datetime import UTC, datetime, timedelta

import pytest

from ownroot.fleet.clones import APART, WINDOW, are_of_a_copy, count_return, is_old_key_of_a_copy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def counted(*seconds: float) -> tuple[datetime, ...]:
    returns: tuple[datetime, ...] = ()
    for second in seconds:
        returns = count_return(returns, NOW + timedelta(seconds=second))
    return returns


def test_four_returns_within_the_window_are_of_a_copy() -> None:
    assert are_of_a_copy(counted(0, 60, 120, 599))


def test_three_are_not() -> None:
    assert not are_of_a_copy(counted(0, 60, 120))


def test_the_fourth_counts_for_nothing_when_the_first_is_out_of_the_window() -> None:
    assert not are_of_a_copy(counted(0, 60, 120, WINDOW.total_seconds()))


def test_returns_of_one_handover_are_one() -> None:
    assert counted(0, 1, 2, 3, 4) == (NOW,)
    assert len(counted(0, APART.total_seconds())) == 2


def test_a_clock_set_back_adds_nothing_and_blocks_nothing_for_long() -> None:
    assert counted(60, 0) == (NOW + timedelta(seconds=60),)
    assert counted(3600, 0) == (NOW,)


def tells(**changed: datetime | None) -> bool:
    """An old key comes; it had come two hours after it was replaced, and the device was seen later than that."""
    times: dict[str, datetime | None] = {
        "shown_at": NOW + 2 * HOUR,
        "seen_at": NOW + 3 * HOUR,
        "settled_at": None,
    }
    return is_old_key_of_a_copy(replaced_at=NOW, **(times | changed))


def test_an_old_key_that_comes_again_after_the_new_one_was_used_is_of_a_copy() -> None:
    assert tells()
    assert tells(settled_at=NOW - HOUR)


@pytest.mark.parametrize(
    ("what", "at"),
    [
        ("shown_at", None),  # the one retry of a device that lost power
        ("shown_at", NOW + timedelta(minutes=59)),  # a program that was not restarted yet
        ("seen_at", NOW + HOUR),  # a device that has nothing but its old key and tries again and again
        ("seen_at", None),
        ("settled_at", NOW),  # the owner has looked at it since
    ],
)
def test_an_old_key_is_no_sign(what: str, at: datetime | None) -> None:
    assert not tells(**{what: at})
