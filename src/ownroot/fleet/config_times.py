"""Modification times of configurations, and what they make of a device's question (protocol: gateway.md §6.3).

A device's configuration has one time: the newest of its factory's, its group's and its own. Rules kept: whole seconds;
every change a device can see has a later time than all it saw before, be it in the same second, the removal of a file,
or a move to a group whose configuration is older.

So a change of a device's own configuration gets a time after that device's; a change of a factory's or a group's, which
any device may see, one after all times ever given in the factory. Two devices that change their own do not push each
other; one that does so often runs ahead by itself, and takes with it what the factory changes next. The gateway
therefore lets a device make few changes (`gateway.device_pace`).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from functools import lru_cache
from typing import Final

NEVER: Final = 0
_AHEAD: Final = timedelta(seconds=60)
_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) (?:GMT|UTC)\Z", re.ASCII
)
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def next_time(now: datetime, *, after: int) -> int:
    """Return the Unix time of a change made now; `after`: the newest time whoever sees it may have seen."""
    return max(int(now.timestamp()), after + 1)


@dataclass(frozen=True, slots=True)
class ConfigTimes:
    """Unix times of what a device is told; `NEVER` for a scope that has had no configuration."""

    factory: int = NEVER
    group: int = NEVER
    device: int = NEVER

    @property
    def effective(self) -> int:
        return max(self.factory, self.group, self.device)


class ConfigAnswer(Enum):
    """How GET /config is answered."""

    NOTHING_EVER = auto()
    NOT_MODIFIED = auto()
    CONTENT = auto()


def decide_answer(effective: int, if_modified_since: str | None, *, fetch_anew: bool, now: datetime) -> ConfigAnswer:
    """Decide what a device hears.

    Args:
        effective: time of its configuration.
        if_modified_since: the header as sent; what cannot be read, or lies in the future, does not count.
        fetch_anew: what the device says of its copy is not to be trusted (its key was promoted; gateway.md §7.4).
    """
    if effective == NEVER:
        return ConfigAnswer.NOTHING_EVER
    since = None if if_modified_since is None or fetch_anew else parse_http_date(if_modified_since)
    if since is None or since > now + _AHEAD or effective > int(since.timestamp()):
        return ConfigAnswer.CONTENT
    return ConfigAnswer.NOT_MODIFIED


@lru_cache(maxsize=16_384)  # devices ask again and again with the time of the copy they have
def parse_http_date(text: str) -> datetime | None:
    """Read an HTTP date, its zone spelled `GMT` or, as clients of the field do, `UTC`; None for anything else."""
    match = _DATE.match(text.strip())
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[index]) for index in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def print_http_date(seconds: int, *, zone: str = "GMT") -> str:
    """Return a Unix time as an HTTP date. Names are ours, since those of the system follow its language."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {at:%H:%M:%S} {zone}"
