"""Devices held for review after a restore: `/ota/factories/{factory}/held-devices/`. Ours, see docs/wire."""

from collections.abc import Sequence
from functools import partial

import msgspec

from ownroot.api.backend import Backend
from ownroot.api.listing import Limit, Page, ca_serial, next_page
from ownroot.pki.encoding import load_certificate_der
from ownroot.pki.serials import serial_text
from ownroot.services.authority import Principal
from ownroot.services.manage_devices import Paging
from ownroot.services.records import Factory, HeldFilter
from ownroot.services.review_held_devices import HeldEntry, HeldKey, Reviewed, accept_held, list_held, refuse_held
from ownroot.services.scopes import Role, Scope
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.devices import wire_time
from ownroot.wire.held_devices import (
    HeldDeviceList,
    HeldDeviceObject,
    HeldOutcome,
    HeldReview,
    HeldVerdicts,
    parse_held_verdicts,
)

_PATH = "/ota/factories/{factory}/held-devices/"
_READ = Access(scopes=(Scope.DEVICES_READ.value,))
# A station that registers devices has `devices:create` too; whom nobody remembers is for people to judge.
_ACCEPT = Access(scopes=(Scope.DEVICES_CREATE.value,), roles=(Role.OWNER, Role.ADMIN))
_REFUSE = Access(scopes=(Scope.DEVICES_DELETE.value,))


class _HeldQuery(msgspec.Struct, frozen=True):
    """One page; `ca_serial`: only devices whose certificate this device CA signed, decimal."""

    ca_serial: str | None = None
    limit: Limit = 100
    page: Page = 1
    uuid: str | None = None


class HeldDevicesPage:
    """Handlers for the review."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list(self, call: Call[Principal]) -> Reply:
        """One page of what waits."""
        factory, paging = call.caller.factory, Paging(call.query.limit, call.query.page)
        where = HeldFilter(call.query.uuid, ca_serial(call.query.ca_serial))
        found, total = await self._backend.read(lambda uow: list_held(uow, factory, where, paging=paging))
        held = tuple(_held_object(entry, factory) for entry in found)
        following = next_page(call, _PATH.format(**call.path), paging, total)
        return Reply(200, HeldDeviceList(held=held, total=total, next=following))

    async def accept(self, call: Call[Principal]) -> Reply:
        """Each verdict has its own outcome; the answer leaves when all that were carried out are durable."""
        work = partial(accept_held, keys=_keys(call.body), by=call.caller, now=call.now)
        return _review(await self._backend.commit(work))

    async def refuse(self, call: Call[Principal]) -> Reply:
        """As `accept`."""
        work = partial(refuse_held, keys=_keys(call.body), by=call.caller, now=call.now)
        return _review(await self._backend.commit(work))


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    page = HeldDevicesPage(backend)
    body = JsonBody(parse_held_verdicts, HeldVerdicts)
    return (
        Endpoint(
            method="GET",
            path=_PATH,
            handler=page.list,
            access=_READ,
            summary="List devices held for review after a restore.",
            query=_HeldQuery,
            replies={200: HeldDeviceList},
        ),
        Endpoint(
            method="POST",
            path=_PATH + "accept/",
            handler=page.accept,
            access=_ACCEPT,
            summary="Let held devices in, with the keys they came with.",
            body=body,
            replies={200: HeldReview},
        ),
        Endpoint(
            method="POST",
            path=_PATH + "refuse/",
            handler=page.refuse,
            access=_REFUSE,
            summary="Keep held devices out for good.",
            body=body,
            replies={200: HeldReview},
        ),
    )


def _keys(verdicts: HeldVerdicts) -> tuple[HeldKey, ...]:
    return tuple(HeldKey(one.uuid, bytes.fromhex(one.key_sha256)) for one in verdicts.held)


def _review(reviewed: Sequence[Reviewed]) -> Reply:
    return Reply(200, HeldReview(outcomes=tuple(map(_outcome, reviewed))))


def _outcome(one: Reviewed) -> HeldOutcome:
    key, hindrance = one.key, one.hindrance
    return HeldOutcome(
        uuid=key.uuid,
        key_sha256=key.spki_sha256.hex(),
        done=hindrance is None,
        code=None if hindrance is None else hindrance.code,
        message=None if hindrance is None else hindrance.detail,
    )


def _held_object(entry: HeldEntry, factory: Factory) -> HeldDeviceObject:
    held, known = entry.held, entry.known
    return HeldDeviceObject(
        uuid=held.uuid,
        factory=factory.name,
        key_sha256=held.spki_sha256.hex(),
        ca_serial=serial_text(held.issuer_serial),
        owner=held.owner,
        not_before=wire_time(load_certificate_der(held.certificate_der).not_valid_before_utc) or "",
        first_seen=wire_time(held.first_at) or "",
        last_seen=wire_time(held.last_at) or "",
        replaces_key=known is not None and known.spki_sha256 != held.spki_sha256,
    )
