"""How long a device may be waited for, by its absences."""

from datetime import date, timedelta

import pytest

from ownroot.fleet.forecast import EIGHTHS, current_absence, last_safe_day, longest_absence

DAY = timedelta(days=1)
TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("absence", "margin"),
    [
        (DAY, 3),
        (DAY * 9 / 8, 4),  # 27 eighths: part of a day is a day
        (DAY * 8 / 8 * 2, 6),
        (DAY * 29, 87),
    ],
)
def test_last_safe_day_is_three_absences_before_the_end(absence: timedelta, margin: int) -> None:
    assert last_safe_day(TODAY, absence) == TODAY - timedelta(days=margin)


@pytest.mark.parametrize(
    ("known", "days_ago", "after"),
    [
        (0, 0, 0),
        (0, 5, 5 * EIGHTHS),  # a new longest one
        (90 * EIGHTHS, 0, 90 * EIGHTHS),  # again on the same day
        (90 * EIGHTHS, 1, 90 * EIGHTHS - 1),  # a day of presence takes an eighth off
        (EIGHTHS, 1, EIGHTHS),  # a daily visitor stays at a day
    ],
)
def test_the_longest_absence_counts_and_is_forgotten_slowly(known: int, days_ago: int, after: int) -> None:
    assert longest_absence(known, last_seen=TODAY - days_ago * DAY, seen=TODAY) == after


@pytest.mark.parametrize(
    ("known", "days_ago", "absence"),
    [(0, 0, DAY), (0, 1, DAY), (9, 0, DAY * 9 / 8), (16, 7, 7 * DAY), (16, 1, 2 * DAY)],
)
def test_the_absence_under_way_counts_like_any_other(known: int, days_ago: int, absence: timedelta) -> None:
    assert current_absence(known, last_seen=TODAY - days_ago * DAY, today=TODAY) == absence
