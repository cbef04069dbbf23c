"""How often one device may ask for what costs more than an answer from memory: signatures, commits, lines of the audit.

By key and not by name: an old copy of a device takes no turn of the one that has a newer key. Each worker keeps its own
count, in memory: a device that is held up comes again, and a restart gives it a few turns more, no harm.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

from ownroot.gateway.responses import Response

_DEVICES_REMEMBERED: Final = 65_536


class Turns(NamedTuple):
    """So many at once, then one every so many seconds."""

    at_once: int
    seconds: float


RENEWALS: Final = Turns(6, 10.0)
CHANGES: Final = Turns(20, 30.0)
"""Of its own configuration and of its next key. Each change of a configuration takes a second of the factory's
configuration time (`fleet.config_times`), so this bounds how far ahead of the clock a device can push it."""


class DevicePace:
    """Counts the turns of every device."""

    def __init__(self, turns: Turns, now: Callable[[], float]) -> None:
        self._turns = turns
        self._now = now
        self._spent_until: OrderedDict[tuple[int, bytes], float] = OrderedDict()

    def wait_seconds(self, factory_id: int, spki_sha256: bytes) -> int:
        """Take a turn and return 0, or return how long until there is one."""
        now, key = self._now(), (factory_id, spki_sha256)
        spent_until = max(self._spent_until.pop(key, now), now)
        wait = spent_until - now - (self._turns.at_once - 1) * self._turns.seconds
        self._spent_until[key] = spent_until if wait > 0 else spent_until + self._turns.seconds
        if len(self._spent_until) > _DEVICES_REMEMBERED:
            self._spent_until.popitem(last=False)
        return max(0, ceil(wait))


def too_often(code: str, wait_seconds: int) -> Response:
    """Tell a device when to come again."""
    text = f"{code}: this device asks for this too often; try later\n"
    return Response(429, text.encode("ascii"), headers=((b"Retry-After", b"%d" % wait_seconds),))
