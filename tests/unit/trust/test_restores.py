"""The time a server loses by a restore."""

from datetime import timedelta

import pytest

from ownroot.errors import RefusedError
from ownroot.trust.restores import RestoreWindow, open_window
from tests.support.owner_pki import NOW

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
BACKUP = NOW - 3 * DAY


def test_a_window_reaches_from_the_backup_to_the_restore() -> None:
    assert open_window(BACKUP, now=NOW) == RestoreWindow(BACKUP, NOW)


def test_a_clock_that_is_a_little_behind_opens_a_window_of_no_length() -> None:
    assert open_window(NOW, now=NOW - 5 * MINUTE) == RestoreWindow(NOW, NOW)


def test_a_clock_that_is_further_behind_is_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        open_window(NOW, now=NOW - 5 * MINUTE - SECOND)
    assert refused.value.code == "clock-before-backup"
