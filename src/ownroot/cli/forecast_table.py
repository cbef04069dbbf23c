"""A forecast as lines of one table: the factory's certificates, waves of device certificates, TUF documents. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from ownroot.cli.forecast_findings import tuf_title
from ownroot.cli.pki_view import PkiView, called
from ownroot.wire.forecast import CaForecast, EndingDevices, ForecastObject, TufForecast

_NEVER: Final = date.max


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that ends.

    Attributes:
        what: for people.
        ends: a day, or the week or the day from which on; None: not known.
        last_safe_day: None: nobody can tell.
        remark: what there is to know besides.
    """

    what: str
    ends: str | None
    last_safe_day: date | None
    remark: str = ""

    def left(self, today: date) -> str:
        """Say how long there is to act."""
        if self.last_safe_day is None:
            return "not known"
        days = (self.last_safe_day - today).days
        return f"{days} days" if days >= 0 else "act now"


def lines_of(view: PkiView, forecast: ForecastObject) -> tuple[Line, ...]:
    """Return all lines, the most urgent first; what nobody can tell comes last."""
    lines = [*_certificates(view)]
    for ca in forecast.device_cas:
        lines += _devices(ca)
    if forecast.without_ca:
        lines.append(
            Line(f"{forecast.without_ca} devices whose last certificate no device CA of today signed", None, None)
        )
    lines += map(_tuf, forecast.tuf)
    return tuple(sorted(lines, key=lambda line: line.last_safe_day or _NEVER))


def _certificates(view: PkiView) -> Iterator[Line]:
    for entry in view.entries:
        end = entry.certificate.not_valid_after_utc.date().isoformat()
        yield Line(f"{called(entry.kind)}, serial {entry.serial}", end, entry.last_safe_day)


def _devices(ca: CaForecast) -> Iterator[Line]:
    of = f"of CA {ca.serial}"
    for week in ca.weeks:
        yield _ending(f"{week.devices} devices {of}", f"week of {week.begins}", week)
    if ca.later.devices:
        yield _ending(f"{ca.later.devices} devices {of}", f"from {ca.later.begins} on", ca.later)
    if ca.expired:
        yield Line(f"{ca.expired} devices {of}", "have ended", None, "cannot connect")
    if ca.unknown:
        yield Line(f"{ca.unknown} devices {of}", None, None, "known with their next visit")


def _ending(what: str, ends: str, ending: EndingDevices) -> Line:
    remarks = (
        (ending.overdue, "overdue"),
        (ending.rarely_seen, "rarely seen"),
        (ending.never_seen, "never seen"),
    )
    remark = ", ".join(f"{number} {called_out}" for number, called_out in remarks if number)
    day = None if ending.last_safe_day is None else date.fromisoformat(ending.last_safe_day)
    return Line(what, ends, day, remark)


def _tuf(document: TufForecast) -> Line:
    who = "takes an owner" if document.by_owner else "the server renews it"
    signatures = f"{document.threshold} of {document.keys} keys sign"
    day = date.fromisoformat(document.last_safe_day)
    return Line(tuf_title(document), document.expires[:10], day, f"{who}; {signatures}")
