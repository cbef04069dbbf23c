"""Which refusals the audit log was told lately: a device that asks again and again makes one line an hour of each kind.

In memory, of one process: after a restart a refusal is told once more, which nobody minds. Whoever has many names and
many faults pushes the oldest out, and is then told once more too.
"""

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Final

_QUIET: Final = timedelta(hours=1)
_REMEMBERED: Final = 65_536


class RecentRefusals:
    """Remembers refusals by whatever makes two of them the same."""

    def __init__(self) -> None:
        self._told_at: OrderedDict[Hashable, datetime] = OrderedDict()

    def is_new(self, refusal: Hashable, now: datetime) -> bool:
        """Say whether it is to be told now, and remember that it was."""
        told_at = self._told_at.get(refusal)
        if told_at is not None and timedelta(0) <= now - told_at < _QUIET:
            return False
        self._told_at[refusal] = now
        self._told_at.move_to_end(refusal)
        if len(self._told_at) > _REMEMBERED:
            self._told_at.popitem(last=False)
        return True
