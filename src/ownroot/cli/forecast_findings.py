"""What a forecast says somebody should look after: devices that do not renew, waves, a CA too short, TUF. Pure."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from ownroot.cli.findings import Finding, Severity
from ownroot.console.text import counted
from ownroot.wire.forecast import CaForecast, ForecastObject, TufForecast

# A week in which so many renew at once is worth a look beforehand: a tenth of the devices, if that is anything at all.
_WAVE_PART: Final = 10
_WAVE_LEAST: Final = 10
_NEXT_DOCUMENT: Final = "Publish the next one with the owners' TUF keys; docs/tuf.md says how."


def ending_soon(forecast: ForecastObject, *, today: date, within: timedelta) -> Iterator[Finding]:
    """Yield findings.

    Args:
        today: UTC.
        within: warn of a last safe day that comes this soon.
    """
    for ca in forecast.device_cas:
        yield from _devices(ca)
        yield from _waves(ca, today=today, within=within)
    for document in forecast.tuf:
        yield from _tuf_end(document, today=today, within=within)
        yield from _tuf_keys(document)


def tuf_title(document: TufForecast) -> str:
    """Name a TUF document for people."""
    of = f" of tag {document.tag}" if document.tag else ""
    return f"TUF {document.role}, version {document.version}, for {document.chain} devices{of}"


def _devices(ca: CaForecast) -> Iterator[Finding]:
    overdue = sum(ending.overdue for ending in (*ca.weeks, ca.later))
    if overdue:
        first = next(ending.begins for ending in (*ca.weeks, ca.later) if ending.overdue)
        yield Finding(
            Severity.WARNING,
            "devices-overdue",
            f"Past their last safe day: {_devices_of(overdue, ca)}. The first certificates end in the week of {first}, "
            "and who is away so long cannot count on another chance.",
            "See whom and when with: ownroot forecast; then why they do not renew: ownroot devices show NAME",
        )
    if ca.expired:
        yield Finding(
            Severity.WARNING,
            "devices-expired",
            f"Cannot connect with a certificate that has ended: {_devices_of(ca.expired, ca)}.",
            "Let them renew for a while with: ownroot devices recovery --days N; or register them again.",
        )
    if ca.beyond_ca:
        yield Finding(
            Severity.WARNING,
            "device-ca-ends-first",
            f"Certificates that outlast their CA: {_devices_of(ca.beyond_ca, ca)}. They end with it on "
            f"{ca.not_after[:10]}, whatever they say, and a device goes by what its certificate says.",
            "Let them renew under another CA before that; `ownroot keys ca add-device-ca` makes one.",
        )


def _waves(ca: CaForecast, *, today: date, within: timedelta) -> Iterator[Finding]:
    known = sum(ending.devices for ending in (*ca.weeks, ca.later))
    for week in ca.weeks:
        is_wave = week.devices >= _WAVE_LEAST and week.devices * _WAVE_PART >= known
        if is_wave and week.last_safe_day is not None and date.fromisoformat(week.last_safe_day) - today <= within:
            yield Finding(
                Severity.WARNING,
                "certificate-wave",
                f"{_devices_of(week.devices, ca)} hold certificates that end in one week, that of {week.begins}; the "
                f"last safe day of the first is {week.last_safe_day}.",
                "Let them renew in groups before that, so that not all come at once: ownroot config rotate-certs",
            )


def _tuf_end(document: TufForecast, *, today: date, within: timedelta) -> Iterator[Finding]:
    end, day = document.expires[:10], date.fromisoformat(document.last_safe_day)
    title = f"The {tuf_title(document)}"
    if day < today:
        detail = f"{title} ends on {end}, and its last safe day was {day}. Devices take no update once it has ended."
        yield Finding(Severity.FAULT, "tuf-last-safe-day-passed", detail, _tuf_remedy(document))
    elif document.by_owner and day - today <= within:
        detail = f"{title} ends on {end}; the last safe day to publish the next one is {day}."
        yield Finding(Severity.WARNING, "tuf-last-safe-day-near", detail, _tuf_remedy(document))


def _tuf_remedy(document: TufForecast) -> str:
    return _NEXT_DOCUMENT if document.by_owner else "The server should have renewed it: look for the cause in its log."


def _tuf_keys(document: TufForecast) -> Iterator[Finding]:
    """Owners without a spare root key: whoever loses one can change nothing any more, not even who signs."""
    if document.role == "root" and not document.server_key and document.keys <= document.threshold:
        yield Finding(
            Severity.WARNING,
            "tuf-root-without-spare",
            f"The {tuf_title(document)}, wants {document.threshold} signatures of {document.keys} keys, so no key may "
            "get lost: without it no root can follow, and devices would have to be set up anew.",
            "Add another root key, kept elsewhere, while all of them are there.",
        )


def _devices_of(number: int, ca: CaForecast) -> str:
    return f"{counted(number, 'device')} of the device CA with serial {ca.serial}"
