"""A forecast as lines of one table: the factory's certificates, waves of device certificates, TUF documents. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from ownroot.cli.forecast_findings import tuf_title
from ownroot.cli.pki_view import PkiView, called
from ownroot.console.text import counted
from ownroot.wire.forecast import CaForecast, EndingDevices, ForecastObject, TufForecast

_NEVER: Final = date.max
_SHORT_SERIAL: Final = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that ends.

    Attributes:
        what: for people.
        ends: a day, a week, or that it is further away than the weeks asked for; None: not known.
        last_safe_day: None: nobody can tell.
        remark: what there is to know besides.
        serial: whole, as it stands in `what`; None: none does.
    """

    what: str
    ends: str | None
    last_safe_day: date | None
    remark: str = ""
    serial: str | None = None

    def left(self, today: date) -> str:
        """Say how long there is to act."""
        if self.last_safe_day is None:
            return "not known"
        days = (self.last_safe_day - today).days
        return counted(days, "day") if days >= 0 else "act now"

    def shortened(self) -> "Line":
        """Return it with the beginning of its serial alone, for where the whole one would be broken over lines."""
        if self.serial is None or len(self.serial) <= _SHORT_SERIAL:
            return self
        return replace(self, what=self.what.replace(self.serial, f"{self.serial[:_SHORT_SERIAL]}…"))


def lines_of(view: PkiView, forecast: ForecastObject) -> tuple[Line, ...]:
    """Return all lines, the most urgent first; what nobody can tell comes last."""
    lines = [*_certificates(view)]
    for ca in forecast.device_cas:
        lines += _devices(ca, weeks=forecast.weeks)
    if forecast.without_ca:
        who = counted(forecast.without_ca, "device")
        lines.append(Line(f"{who} whose last certificate no device CA of today signed", None, None))
    lines += map(_tuf, forecast.tuf)
    return tuple(sorted(lines, key=lambda line: line.last_safe_day or _NEVER))


def _certificates(view: PkiView) -> Iterator[Line]:
    for entry in view.entries:
        end = entry.certificate.not_valid_after_utc.date().isoformat()
        yield Line(f"{called(entry.kind)}, serial {entry.serial}", end, entry.last_safe_day, serial=entry.serial)


def _devices(ca: CaForecast, *, weeks: int) -> Iterator[Line]:
    for week in ca.weeks:
        yield _ending(ca, f"week of {week.begins}", week)
    if ca.later.devices:
        yield _ending(ca, f"in over {weeks} weeks", ca.later)
    if ca.expired:
        yield Line(_of(ca, ca.expired), "ended already", None, "cannot connect", ca.serial)
    if ca.unknown:
        yield Line(_of(ca, ca.unknown), None, None, "known with the next visit", ca.serial)


def _of(ca: CaForecast, devices: int) -> str:
    return f"{counted(devices, 'device')} of CA {ca.serial}"


def _ending(ca: CaForecast, ends: str, ending: EndingDevices) -> Line:
    remarks = (
        (ending.overdue, "overdue"),
        (ending.rarely_seen, "rarely seen"),
        (ending.never_seen, "never seen"),
    )
    remark = ", ".join(f"{number} {called_out}" for number, called_out in remarks if number)
    day = None if ending.last_safe_day is None else date.fromisoformat(ending.last_safe_day)
    return Line(_of(ca, ending.devices), ends, day, remark, ca.serial)


def _tuf(document: TufForecast) -> Line:
    who = "takes an owner" if document.by_owner else "the server renews it"
    signatures = f"{document.threshold} of {document.keys} keys sign"
    day = date.fromisoformat(document.last_safe_day)
    return Line(tuf_title(document), document.expires[:10], day, f"{who}; {signatures}")
