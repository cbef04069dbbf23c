"""Device groups of a factory (protocol: api.md §6.3)."""

from functools import partial

from ownroot.api.backend import Backend
from ownroot.api.device_objects import group_object
from ownroot.errors import InvalidInputError
from ownroot.services.authority import Principal
from ownroot.services.device_groups import GroupChange, change_group, create_group, delete_group
from ownroot.services.scopes import Scope
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.devices import GroupForm, GroupList, GroupObject
from ownroot.wire.documents import read_document

_READ = Access(scopes=(Scope.DEVICES_READ.value,))
_CHANGE = Access(scopes=(Scope.DEVICES_READ_UPDATE.value,))
_ALL, _ONE = "/ota/factories/{factory}/device-groups/", "/ota/factories/{factory}/device-groups/{group}/"
_BODY = JsonBody(lambda body: read_document(body, GroupForm), GroupForm)


class DeviceGroupsPage:
    """Handlers for groups."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def show_all(self, call: Call[Principal]) -> Reply:
        """All groups; there are never so many that pages are needed."""
        factory = call.caller.factory
        groups = await self._backend.read(lambda uow: uow.groups.list(factory.id))
        return Reply(body=GroupList(groups=tuple(map(group_object, groups))))

    async def create(self, call: Call[Principal]) -> Reply:
        """201 with the group: clients parse the body."""
        form: GroupForm = call.body
        if not form.name:
            raise InvalidInputError("missing-field", "Missing field(s): name", fields={"name": "missing"})
        work = partial(create_group, name=form.name, description=form.description or "", by=call.caller, now=call.now)
        return Reply(201, group_object(await self._backend.commit(work)))

    async def change(self, call: Call[Principal]) -> Reply:
        """Only what the body names."""
        change = GroupChange(name=call.body.name, description=call.body.description)
        work = partial(change_group, name=call.path["group"], change=change, by=call.caller, now=call.now)
        return Reply(200, group_object(await self._backend.commit(work)))

    async def delete(self, call: Call[Principal]) -> Reply:
        """A group that no device is in."""
        await self._backend.commit(partial(delete_group, name=call.path["group"], by=call.caller, now=call.now))
        return Reply(204)


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    page = DeviceGroupsPage(backend)
    return (
        Endpoint(
            method="GET",
            path=_ALL,
            handler=page.show_all,
            access=_READ,
            summary="List the device groups of a factory.",
            replies={200: GroupList},
        ),
        Endpoint(
            method="POST",
            path=_ALL,
            handler=page.create,
            access=_CHANGE,
            summary="Make a device group.",
            body=_BODY,
            replies={201: GroupObject},
        ),
        Endpoint(
            method="PATCH",
            path=_ONE,
            handler=page.change,
            access=_CHANGE,
            summary="Rename or describe a device group; its devices stay in it.",
            body=_BODY,
            replies={200: GroupObject},
        ),
        Endpoint(
            method="DELETE",
            path=_ONE,
            handler=page.delete,
            access=_CHANGE,
            summary="Delete a device group that no device is in.",
            replies={204: None},
        ),
    )
