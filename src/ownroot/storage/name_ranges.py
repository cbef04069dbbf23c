"""Which names a listing is about: a stretch of the alphabet, and perhaps a pattern within it."""

import re
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from ownroot.storage.schema import devices
from ownroot.storage.session import Session

_BEYOND: Final = "\U0010ffff"  # comes after every character of a name, on both databases
_LEAST: Final = "\x01"  # comes before every one


@dataclass(frozen=True, slots=True)
class NameRange:
    """Names from `low` up to but not including `high`; where `pattern` is set only those that match it."""

    low: str = ""
    high: str = _BEYOND
    pattern: str | None = None

    @property
    def is_everything(self) -> bool:
        return self == _EVERY_NAME

    @property
    def has_no_end(self) -> bool:
        return self.high == _BEYOND

    def conditions(self, session: Session) -> tuple[sa.ColumnElement[bool], ...]:
        """Say it in SQL, of `devices.name`."""
        bounds = (devices.c.name >= self.low, devices.c.name < self.high)
        return bounds if self.pattern is None else (*bounds, _matches(session, self.pattern))


_EVERY_NAME: Final = NameRange()


def name_range(pattern: str | None, *, after: str | None) -> NameRange:
    """Read a shell-style pattern with `*` and `?`, which minds letter case.

    Args:
        pattern: None = every name. Its beginning up to the first of the two narrows the range.
        after: only names that come after this one.
    """
    pattern = pattern or "*"
    prefix = re.split(r"[*?]", pattern, maxsplit=1)[0]
    rest = pattern[len(prefix) :]
    low, high = (prefix, prefix + _BEYOND) if rest else (prefix, prefix + _LEAST)
    if after is not None:
        low = max(low, after + _LEAST)
    return NameRange(low, high, pattern if rest.strip("*") else None)


def _matches(session: Session, pattern: str) -> sa.ColumnElement[bool]:
    if session.dialect_name == "sqlite":
        return devices.c.name.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return devices.c.name.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")
