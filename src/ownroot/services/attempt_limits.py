"""How often somebody may be wrong, and who counts as one somebody.

Counted in memory: a restart forgives, and each API process counts alone.
"""

import math
from collections.abc import Hashable
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from ownroot.errors import UnavailableError

_MAX_KEYS = 100_000


def peer_network(address: str) -> str:
    """Return what counts as one peer: an IPv4 address, or the /64 that an IPv6 host may roam in at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or f"{IPv6Address(int(parsed) >> 64 << 64)}/64")


class AttemptLimit:
    """Allows so many attempts per key in a window; those that succeed are given back.

    An attempt is charged before it is judged: a hundred that are under way at once are a hundred.

    Args:
        what: names the attempts in the refusal, as in "sign-ins for this account".
    """

    def __init__(self, what: str, *, most: int, window: timedelta) -> None:
        self._what = what
        self._most = most
        self._window = window
        self._spent: dict[Hashable, tuple[datetime, int]] = {}

    def charge(self, key: Hashable, now: datetime) -> None:
        """Count one attempt.

        Raises:
            UnavailableError: `too-many-attempts`, with the time to wait.
        """
        ends, count = self._spent.get(key, (now + self._window, 0))
        if ends <= now:
            ends, count = now + self._window, 0
        if count >= self._most:
            minutes = max(1, math.ceil((ends - now) / timedelta(minutes=1)))
            plural = "" if minutes == 1 else "s"
            raise UnavailableError(
                "too-many-attempts",
                f"Too many failed {self._what}. Try again in {minutes} minute{plural}.",
                retry_after=max(1, math.ceil((ends - now).total_seconds())),
            )
        self._make_room(now)
        self._spent[key] = (ends, count + 1)

    def give_back(self, key: Hashable) -> None:
        """The attempt was right."""
        if key in self._spent:
            ends, count = self._spent[key]
            self._spent[key] = (ends, max(0, count - 1))

    def _make_room(self, now: datetime) -> None:
        if len(self._spent) < _MAX_KEYS:
            return
        self._spent = {key: entry for key, entry in self._spent.items() if entry[0] > now}
        while len(self._spent) >= _MAX_KEYS:
            self._spent.pop(next(iter(self._spent)))
