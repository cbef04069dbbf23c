"""What a restored server cannot know: which certificates were issued between its backup and the restore."""

from dataclasses import dataclass
from datetime import datetime

from ownroot.errors import RefusedError
from ownroot.pki.conformance import CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class RestoreWindow:
    """The time a server lost by one restore: from the moment its backup was begun to the moment it came back."""

    backup_made_at: datetime
    restored_at: datetime


def open_window(backup_made_at: datetime, *, now: datetime) -> RestoreWindow:
    """Return the window of a restore that happens now.

    Raises:
        RefusedError: `clock-before-backup`: by a clock that is behind, later certificates would lie in no window.
    """
    if now + CLOCK_SKEW < backup_made_at:
        raise RefusedError(
            "clock-before-backup",
            f"The clock of this machine says {now:%Y-%m-%d %H:%M:%S} UTC, but the backup was made at "
            f"{backup_made_at:%Y-%m-%d %H:%M:%S} UTC. Set the clock, then restore again; by this one, certificates "
            "issued since the backup could not be told from later ones.",
        )
    return RestoreWindow(backup_made_at, max(backup_made_at, now))
