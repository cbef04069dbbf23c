"""What tells a copied device key from a device that moves, loses power or has two kinds of addresses. Pure.

A device that roams leaves its old connection behind; of two holders of one key each goes on using its own. So what
counts is a *return*: a connection is used again although the key was used from another network since its first use. One
return is a handover. A few of them, apart from one another, are two places.

A replaced key may come once more after its device lost power before it had stored that it has a new one, and programs
that were not restarted yet go on with it for a while. But a device that has used its new key after that has stored it:
if the old key comes yet again, somebody else has it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

RETURNS_OF_A_COPY: Final = 4
WINDOW: Final = timedelta(minutes=10)
# A handover may go to and fro for some seconds while two programs of a device finish what they were at.
APART: Final = timedelta(seconds=5)
OLD_KEY_GRACE: Final = timedelta(hours=1)


class CloneSign(StrEnum):
    """Why a device is under suspicion."""

    TWO_NETWORKS = "two-networks"
    OLD_KEY = "old-key"
    OWNER = "owner"  # its owner said so


def count_return(earlier: Sequence[datetime], at: datetime) -> tuple[datetime, ...]:
    """Return the returns that count once another one was seen, oldest first; what is outside the window is left out.

    Args:
        earlier: those that counted before, oldest first.
    """
    recent = tuple(one for one in earlier if abs(at - one) < WINDOW)
    return recent if recent and at - recent[-1] < APART else (*recent, at)


def are_of_a_copy(returns: Sequence[datetime]) -> bool:
    """Do these returns tell two holders of one key?"""
    return len(returns) >= RETURNS_OF_A_COPY


def is_old_key_of_a_copy(
    *, replaced_at: datetime, shown_at: datetime | None, seen_at: datetime | None, settled_at: datetime | None
) -> bool:
    """Does a replaced key that comes now tell a copy?

    Args:
        replaced_at: when the device's new key was first used.
        shown_at: when the old key was shown before; None: never since it was replaced.
        seen_at: when the device was seen last, with the key it has now.
        settled_at: when the owner last looked at the device and let it go on; keys replaced until then are settled.
    """
    if shown_at is None or seen_at is None or (settled_at is not None and replaced_at <= settled_at):
        return False
    return shown_at - replaced_at >= OLD_KEY_GRACE and seen_at > shown_at
