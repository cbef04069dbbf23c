"""`GET /ota/factories/{factory}/forecast/`: what of a factory ends when, and until when to act (docs/wire)."""

from datetime import date
from typing import Annotated

import msgspec

from ownroot.api.backend import Backend
from ownroot.pki.serials import serial_text
from ownroot.services import forecast as service
from ownroot.services import forecast_ports as ports
from ownroot.services.authority import Principal
from ownroot.services.scopes import Role, Scope
from ownroot.web.endpoint import Access, Call, Endpoint, Reply
from ownroot.wire.devices import wire_time
from ownroot.wire.forecast import (
    DEFAULT_WEEKS,
    MOST_WEEKS,
    CaForecast,
    EndingDevices,
    ForecastObject,
    TufForecast,
)


class _ForecastQuery(msgspec.Struct, frozen=True):
    """How many weeks are listed one by one."""

    weeks: Annotated[int, msgspec.Meta(ge=1, le=MOST_WEEKS)] = DEFAULT_WEEKS


class ForecastPage:
    """Handler of the forecast."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def show(self, call: Call[Principal]) -> Reply:
        """Count, and say until when to act."""
        factory, weeks, now = call.caller.factory, call.query.weeks, call.now
        found = await self._backend.read(lambda uow: service.forecast(uow, factory, weeks=weeks, now=now))
        return Reply(
            body=ForecastObject(
                factory=factory.name,
                now=wire_time(now) or "",
                weeks=weeks,
                device_cas=tuple(map(_ca, found.cas)),
                without_ca=found.without_ca,
                tuf=tuple(map(_tuf, found.tuf)),
            )
        )


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare it."""
    return (
        Endpoint(
            method="GET",
            path="/ota/factories/{factory}/forecast/",
            handler=ForecastPage(backend).show,
            access=Access(scopes=(Scope.CERTS_READ,), or_roles=(Role.OWNER, Role.ADMIN)),
            summary="Count devices by the week their certificate ends in, and show when TUF documents expire.",
            query=_ForecastQuery,
            replies={200: ForecastObject},
        ),
    )


def _ca(ca: service.CaForecast) -> CaForecast:
    ends = ca.ends
    return CaForecast(
        serial=serial_text(ca.serial),
        not_after=wire_time(ca.not_after) or "",
        unknown=ends.unknown,
        expired=ends.expired,
        beyond_ca=ends.beyond_issuer,
        weeks=tuple(_ending(monday, ending) for monday, ending in ends.weeks),
        later=_ending(ends.later_from, ends.later),
    )


def _ending(begins: date, ending: ports.EndingDevices) -> EndingDevices:
    day = ending.last_safe_day
    return EndingDevices(
        begins=begins.isoformat(),
        devices=ending.devices,
        never_seen=ending.never_seen,
        rarely_seen=ending.rarely_seen,
        overdue=ending.overdue,
        last_safe_day=None if day is None else day.isoformat(),
    )


def _tuf(document: service.TufForecast) -> TufForecast:
    return TufForecast(
        role=document.role.value,
        chain="production" if document.production else "ci",
        tag=document.tag or None,
        version=document.version,
        expires=wire_time(document.expires) or "",
        keys=document.keys,
        threshold=document.threshold,
        by_owner=document.by_owner,
        server_key=document.server_key,
        last_safe_day=document.last_safe_day.isoformat(),
    )
