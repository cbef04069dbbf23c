"""How often one address may ask: a bucket each, which fills again steadily."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address

from ownroot.errors import UnavailableError

_MOST_ADDRESSES = 4096


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float


class Pace:
    """Requests a minute and address; an IPv6 address counts as its /64, since whoever has one has all of them.

    Args:
        per_minute: also how many may come at once; 0 is no limit.
    """

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def demand(self, address: str) -> None:
        """Count one request.

        Raises:
            UnavailableError: `too-many-requests`.
        """
        if self._per_minute == 0:
            return
        bucket = self._bucket(_household(address))
        now, per_second = self._monotonic(), self._per_minute / 60
        bucket.left = min(self._per_minute, bucket.left + (now - bucket.filled_at) * per_second)
        bucket.filled_at = now
        if bucket.left < 1:
            raise UnavailableError(
                "too-many-requests",
                f"More than {self._per_minute} requests a minute came from this address. Slow down and try again.",
                retry_after=max(1, round((1 - bucket.left) / per_second)),
            )
        bucket.left -= 1

    def _bucket(self, address: str) -> _Bucket:
        bucket = self._buckets.pop(address, None) or _Bucket(self._per_minute, self._monotonic())
        self._buckets[address] = bucket
        if len(self._buckets) > _MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return bucket


def _household(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
