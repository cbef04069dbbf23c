"""Devices of a factory and its deny list (protocol: api.md §5).

`GET` and `HEAD` on the collection without a token answer 401 at once: devices ping that address before they register.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from ownroot.api.backend import Backend
from ownroot.api.device_objects import (
    config_object,
    denied_object,
    device_object,
    listed_device_object,
    with_reports,
)
from ownroot.api.guard import wrong_factory
from ownroot.api.listing import Limit, Page, ca_serial, next_after, next_page
from ownroot.api.registration import RegistrationEndpoint
from ownroot.errors import InvalidInputError
from ownroot.services.announce_device import Announcement, announce_device
from ownroot.services.authority import Principal
from ownroot.services.change_config import describe_device
from ownroot.services.change_device import DeviceChange, change_device
from ownroot.services.manage_devices import (
    DeviceRef,
    Paging,
    delete_device,
    lift_denial,
    list_denied,
    list_devices,
)
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import DeviceFilter, DeviceSort
from ownroot.services.scopes import Scope
from ownroot.services.view_reports import view_reports
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.devices import DeviceForm, DeviceList, DeviceObject
from ownroot.wire.documents import read_document
from ownroot.wire.registration import AnnouncementForm, parse_announcement

_READ = Access(scopes=(Scope.DEVICES_READ.value,))
_CREATE = Access(scopes=(Scope.DEVICES_CREATE.value,))
_UPDATE = Access(scopes=(Scope.DEVICES_READ_UPDATE.value,))
_DELETE = Access(scopes=(Scope.DEVICES_DELETE.value,))
_LIST, _ONE = "/ota/devices/", "/ota/devices/{device}/"
_DENIED, _DENIED_ONE = "/ota/factories/{factory}/denied-devices/", "/ota/factories/{factory}/denied-devices/{uuid}/"


class _ListQuery(msgspec.Struct, frozen=True):
    """What a listing may be narrowed to; `name` is a shell-style pattern, `sortby` a comma list.

    `ca_serial` is ours: the decimal serial of the device CA that signed a device's certificate. `after` is too: with
    `sortby=name`, only devices whose name comes after this one.
    """

    after: str | None = None
    ca_serial: str | None = None
    factory: str | None = None
    group: str | None = None
    limit: Limit = 100
    match_tag: str | None = None
    mine: bool = False
    name: str | None = None
    page: Page = 1
    prod: bool | None = None
    sortby: str | None = None
    target_name: str | None = None
    uuid: str | None = None


class DeviceQuery(msgspec.Struct, frozen=True, rename="kebab"):
    """How the path names the device: by name, or with `by-uuid` by uuid."""

    factory: str | None = None
    by_uuid: bool = False


class _PageQuery(msgspec.Struct, frozen=True):
    """One page of a listing."""

    limit: Limit = 100
    page: Page = 1


@dataclass(frozen=True, slots=True)
class DeviceEndpoints:
    """Everything under `/ota/devices/` but the registration, and the deny list."""

    backend: Backend

    def declare(self) -> tuple[Endpoint[Principal], ...]:
        """Return the endpoints."""
        return (
            Endpoint(
                method="GET",
                path=_LIST,
                handler=self._list,
                access=_READ,
                summary="List devices.",
                query=_ListQuery,
                replies={200: DeviceList},
            ),
            Endpoint(
                method="GET",
                path=_ONE,
                handler=self._show,
                access=_READ,
                summary="Show one device.",
                query=DeviceQuery,
                replies={200: DeviceObject},
            ),
            Endpoint(
                method="PUT",
                path=_LIST,
                handler=self._announce,
                access=_CREATE,
                summary="Announce a device whose certificate a local device CA has signed. 200: known already.",
                body=JsonBody(parse_announcement, AnnouncementForm),
                replies={201: DeviceObject, 200: DeviceObject},
            ),
            Endpoint(
                method="PATCH",
                path=_ONE,
                handler=self._change,
                access=_UPDATE,
                summary="Rename a device, give it another owner, put it in a group or out of it.",
                query=DeviceQuery,
                body=JsonBody(lambda body: read_document(body, DeviceForm), DeviceForm),
                replies={200: DeviceObject},
            ),
            Endpoint(
                method="DELETE",
                path=_ONE,
                handler=self._delete,
                access=_DELETE,
                summary="Delete a device, cut its connections and deny its uuid.",
                query=DeviceQuery,
                replies={204: None},
            ),
            Endpoint(
                method="GET",
                path=_DENIED,
                handler=self._list_denied,
                access=_READ,
                summary="List the uuids of deleted devices, which the gateway refuses.",
                query=_PageQuery,
                replies={200: DeviceList},
            ),
            Endpoint(
                method="DELETE",
                path=_DENIED_ONE,
                handler=self._lift_denial,
                access=_DELETE,
                summary="Take a uuid off the deny list.",
                replies={204: None},
            ),
        )

    async def _list(self, call: Call[Principal]) -> Reply:
        query: _ListQuery = call.query
        _require_factory(call.caller, query.factory)
        factory, paging, sort = call.caller.factory, Paging(query.limit, query.page), _sort(query.sortby)
        where = _filter(query, call.caller, sort)
        found, total = await self.backend.read(lambda uow: list_devices(uow, factory, where, sort=sort, paging=paging))
        devices = tuple(listed_device_object(device, factory) for device in found)
        following = next_page if query.after is None else partial(next_after, found[-1].name if found else "")
        return Reply(200, DeviceList(devices=devices, total=total, next=following(call, _LIST, paging, total)))

    async def _show(self, call: Call[Principal]) -> Reply:
        factory, ref = call.caller.factory, named_device(call)
        vault = self.backend.config_vault

        def work(uow: UnitOfWork) -> DeviceObject:
            device, group, config = describe_device(uow, vault, factory, ref)
            shown = None if config is None else config_object(config)
            described = msgspec.structs.replace(device_object(device, factory, group), active_config=shown)
            return with_reports(described, view_reports(uow, device))

        return Reply(200, await self.backend.read(work))

    async def _change(self, call: Call[Principal]) -> Reply:
        form: DeviceForm = call.body
        change = DeviceChange(form.name, form.owner, form.group)
        work = partial(change_device, ref=named_device(call), change=change, by=call.caller, now=call.now)
        device = await self.backend.commit(work)
        return Reply(200, listed_device_object(device, call.caller.factory))

    async def _announce(self, call: Call[Principal]) -> Reply:
        form: AnnouncementForm = call.body
        announcement = Announcement(form.client_pem, form.name, form.group)
        announced = await self.backend.run(announce_device(announcement, by=call.caller, now=call.now))
        document = listed_device_object(announced.device, call.caller.factory)
        return Reply(201 if announced.is_new else 200, document)

    async def _delete(self, call: Call[Principal]) -> Reply:
        await self.backend.commit(partial(delete_device, ref=named_device(call), by=call.caller, now=call.now))
        return Reply(204)

    async def _list_denied(self, call: Call[Principal]) -> Reply:
        factory, paging = call.caller.factory, Paging(call.query.limit, call.query.page)
        found, total = await self.backend.read(lambda uow: list_denied(uow, factory, paging))
        devices = tuple(denied_object(device, factory) for device in found)
        path = _DENIED.format(**call.path)
        return Reply(200, DeviceList(devices=devices, total=total, next=next_page(call, path, paging, total)))

    async def _lift_denial(self, call: Call[Principal]) -> Reply:
        await self.backend.commit(partial(lift_denial, uuid=call.path["uuid"], by=call.caller, now=call.now))
        return Reply(204)


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Return all endpoints of devices, the registration included."""
    return (RegistrationEndpoint(backend).endpoint(), *DeviceEndpoints(backend).declare())


def _require_factory(caller: Principal, factory: str | None) -> None:
    if factory is not None and factory != caller.factory.name:
        raise wrong_factory(caller)


def named_device(call: Call[Principal]) -> DeviceRef:
    """Return which device the path and its `DeviceQuery` name; raises as `guard.wrong_factory`."""
    _require_factory(call.caller, call.query.factory)
    return DeviceRef(call.path["device"], is_uuid=call.query.by_uuid)


def _filter(query: _ListQuery, caller: Principal, sort: Sequence[DeviceSort]) -> DeviceFilter:
    if query.after is not None and (sort[0] is not DeviceSort.NAME or query.page != 1):
        rule = "goes with sortby=name, and without page"
        raise InvalidInputError("bad-query", f"Query parameter after: {rule}.", fields={"after": rule})
    return DeviceFilter(
        name_pattern=query.name,
        uuid=query.uuid,
        group=query.group,
        owner=caller.user.polis_id if query.mine else None,
        tag=query.match_tag,
        target_name=query.target_name,
        production=query.prod,
        issuer_serial=ca_serial(query.ca_serial),
        after=query.after,
    )


def _sort(text: str | None) -> tuple[DeviceSort, ...]:
    known: Mapping[str, DeviceSort] = {sort.value: sort for sort in DeviceSort if sort is not DeviceSort.OWNER_NAME}
    if text is None:
        return (DeviceSort.OWNER_NAME,)
    try:
        return tuple(dict.fromkeys(known[key] for key in text.split(",")))
    except KeyError as exc:
        rule = f"a comma list of {', '.join(known)}"
        raise InvalidInputError("bad-query", f"Query parameter sortby: {rule}.", fields={"sortby": rule}) from exc
