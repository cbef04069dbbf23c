"""Configuration of a factory, a device group, a device (protocol: api.md §6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from ownroot.api.backend import Backend
from ownroot.api.device_objects import config_object
from ownroot.api.guard import wrong_factory
from ownroot.api.listing import Limit, Page, next_page
from ownroot.services.authority import Principal
from ownroot.services.change_config import (
    ConfigEdit,
    ConfigTarget,
    GroupName,
    StoredConfig,
    change_config,
    config_history,
)
from ownroot.services.manage_devices import DeviceRef, Paging
from ownroot.services.scopes import Scope
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.config import ConfigForm, ConfigList, ConfigObject, config_files, parse_config_form

_READ = Access(scopes=(Scope.DEVICES_READ.value,))
_CHANGE = Access(scopes=(Scope.DEVICES_READ_UPDATE.value,))
_BODY = JsonBody(parse_config_form, ConfigForm, max_bytes=2_000_000)  # a whole configuration, escaped


class _ConfigQuery(msgspec.Struct, frozen=True, rename="kebab"):
    """`force` is sent by clients that have asked their user; we refuse nothing that it would allow."""

    factory: str | None = None
    by_uuid: bool = False
    force: bool = False
    limit: Limit = 100
    page: Page = 1


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the three places a configuration is found at."""

    path: str
    of: str
    target: Callable[[Call[Principal]], ConfigTarget]


def _factory_wide(_call: Call[Principal]) -> ConfigTarget:
    return None


def _group(call: Call[Principal]) -> ConfigTarget:
    return GroupName(call.path["group"])


def _device(call: Call[Principal]) -> ConfigTarget:
    if call.query.factory is not None and call.query.factory != call.caller.factory.name:
        raise wrong_factory(call.caller)
    return DeviceRef(call.path["device"], is_uuid=call.query.by_uuid)


_KINDS: Sequence[_Kind] = (
    _Kind("/ota/factories/{factory}/config/", "the factory", _factory_wide),
    _Kind("/ota/factories/{factory}/device-groups/{group}/config/", "a device group", _group),
    _Kind("/ota/devices/{device}/config/", "one device", _device),
)


@dataclass(frozen=True, slots=True)
class ConfigPage:
    """Handlers of one kind of configuration."""

    backend: Backend
    kind: _Kind

    async def show(self, call: Call[Principal]) -> Reply:
        """The last changes, newest first."""
        factory, target, vault = call.caller.factory, self.kind.target(call), self.backend.config_vault
        found = await self.backend.read(lambda uow: config_history(uow, vault, factory, target))
        paging = Paging(call.query.limit, call.query.page)
        start = (paging.page - 1) * paging.limit
        shown = tuple(map(config_object, found[start : start + paging.limit]))
        path = self.kind.path.format(**call.path)
        return Reply(200, ConfigList(config=shown, total=len(found), next=next_page(call, path, paging, len(found))))

    async def merge(self, call: Call[Principal]) -> Reply:
        """Put files in; what is not named stays as it is."""
        return await self._change(call, 200, replaces=False)

    async def replace(self, call: Call[Principal]) -> Reply:
        """These files and no others."""
        return await self._change(call, 201, replaces=True)

    async def delete(self, call: Call[Principal]) -> Reply:
        """Take one file out."""
        name = call.path["file"]
        await self._commit(call, ConfigEdit(self.kind.target(call), reason=f"Deleted {name}"[:80], removes=name))
        return Reply(204)

    async def _change(self, call: Call[Principal], status: int, *, replaces: bool) -> Reply:
        form: ConfigForm = call.body
        edit = ConfigEdit(self.kind.target(call), config_files(form.files), form.reason, replaces)
        stored = await self._commit(call, edit)
        return Reply(status, ConfigObject() if stored is None else config_object(stored))

    async def _commit(self, call: Call[Principal], edit: ConfigEdit) -> StoredConfig | None:
        work = partial(change_config, vault=self.backend.config_vault, edit=edit, by=call.caller, now=call.now)
        return await self.backend.commit(work)

    def declare(self) -> tuple[Endpoint[Principal], ...]:
        """Return the endpoints."""
        path, of = self.kind.path, self.kind.of
        return (
            Endpoint(
                method="GET",
                path=path,
                handler=self.show,
                access=_READ,
                summary=f"List the last configurations of {of}, newest first.",
                query=_ConfigQuery,
                replies={200: ConfigList},
            ),
            Endpoint(
                method="PATCH",
                path=path,
                handler=self.merge,
                access=_CHANGE,
                summary=f"Put files into the configuration of {of}.",
                query=_ConfigQuery,
                body=_BODY,
                replies={200: ConfigObject},
            ),
            Endpoint(
                method="POST",
                path=path,
                handler=self.replace,
                access=_CHANGE,
                summary=f"Replace the whole configuration of {of}.",
                query=_ConfigQuery,
                body=_BODY,
                replies={201: ConfigObject},
            ),
            Endpoint(
                method="DELETE",
                path=path + "{file:path}/",
                handler=self.delete,
                access=_CHANGE,
                summary=f"Take one file out of the configuration of {of}.",
                query=_ConfigQuery,
                replies={204: None},
            ),
        )


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them for all three kinds."""
    return tuple(endpoint for kind in _KINDS for endpoint in ConfigPage(backend, kind).declare())
