"""Shape of a factory's forecast; our own, no client of the protocol knows it (docs/wire).

Days and weeks are UTC, `YYYY-MM-DD`; a week is named by its Monday. Moments are RFC 3339. Serials are decimal text.
"""

from typing import Final

import msgspec

DEFAULT_WEEKS: Final = 26
MOST_WEEKS: Final = 520


class EndingDevices(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How many devices' certificates end in one span of time; `fleet.forecast` says what the words mean.

    `never_seen`, `rarely_seen` and `overdue` are parts of `devices` that do not overlap. `last_safe_day` is the
    earliest of all others and of those overdue; null without any.
    """

    begins: str
    devices: int = 0
    never_seen: int = 0
    rarely_seen: int = 0
    overdue: int = 0
    last_safe_day: str | None = None


class CaForecast(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The devices of one device CA.

    `unknown`: not seen since the server notes the ends of certificates. `beyond_ca`: their certificates would outlast
    the CA, and end with it. Weeks in which nothing ends are left out; `later` is what comes after the last.
    """

    serial: str
    not_after: str
    unknown: int
    expired: int
    beyond_ca: int
    weeks: tuple[EndingDevices, ...]
    later: EndingDevices


class TufForecast(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One TUF document: `role` as in the document, of the chain `ci` or `production`; a root has no tag.

    `by_owner`: the next one takes an owner; the others the server renews itself, well before the last safe day.
    `server_key`: the server holds a key of the role.
    """

    role: str
    chain: str
    tag: str | None = None
    version: int
    expires: str
    keys: int
    threshold: int
    by_owner: bool
    server_key: bool
    last_safe_day: str


class ForecastObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What ends when, as of `now`. `without_ca`: devices whose last certificate no device CA of today signed."""

    factory: str
    now: str
    weeks: int
    device_cas: tuple[CaForecast, ...]
    without_ca: int
    tuf: tuple[TufForecast, ...]
