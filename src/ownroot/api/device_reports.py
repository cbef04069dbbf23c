"""What devices report, as their owners read it: updates, apps, tests and artifacts (protocol: api.md §5).

An artifact is whatever a device sent. It goes out as a file to be saved, never as something a browser may show or run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from ownroot.api.backend import Backend
from ownroot.api.guard import wrong_factory
from ownroot.api.listing import Limit, Page, next_page
from ownroot.services.authority import Principal
from ownroot.services.manage_devices import DeviceRef, Paging
from ownroot.services.report_ports import Update
from ownroot.services.scopes import Scope
from ownroot.services.view_reports import (
    DeviceTestView,
    find_test,
    list_apps_states,
    list_events,
    list_tests,
    list_updates,
    read_artifact,
)
from ownroot.web.endpoint import Access, Call, Endpoint, Reply
from ownroot.wire.device_reports import (
    AppsStates,
    DeviceTestList,
    DeviceTestObject,
    DeviceTestResult,
    EventObject,
    UpdateList,
    UpdateObject,
)
from ownroot.wire.devices import wire_time
from ownroot.wire.documents import read_list, read_object

T = TypeVar("T")
_READ = Access(scopes=(Scope.DEVICES_READ.value,))
_DEVICE = "/ota/devices/{device}"
_ARTIFACT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "no-store",
}


class _ReportQuery(msgspec.Struct, frozen=True, rename="kebab"):
    """How the path names the device, and one page of a listing."""

    factory: str | None = None
    by_uuid: bool = False
    limit: Limit = 100
    page: Page = 1


@dataclass(frozen=True, slots=True)
class DeviceReportEndpoints:
    """Everything under a device's path that it told about itself."""

    backend: Backend

    def declare(self) -> tuple[Endpoint[Principal], ...]:
        """Return the endpoints."""
        listed = (
            ("/updates/", self._updates, "List a device's updates, newest first.", UpdateList),
            ("/updates/{update}/", self._events, "Show the events of one update.", tuple[EventObject, ...]),
            ("/apps-states/", self._apps_states, "Show a device's reports of its apps, newest first.", AppsStates),
            ("/tests/", self._tests, "List a device's tests, newest first.", DeviceTestList),
            ("/tests/{test}", self._test, "Show one test.", DeviceTestObject),
            ("/tests/{test}/{artifact}", self._artifact, "Fetch an artifact of a test, the device's own bytes.", None),
        )
        return tuple(
            Endpoint(
                method="GET",
                path=_DEVICE + path,
                handler=handler,
                access=_READ,
                summary=summary,
                query=_ReportQuery,
                replies={200: shape},
            )
            for path, handler, summary, shape in listed
        )

    async def _updates(self, call: Call[Principal]) -> Reply:
        factory, ref, paging = call.caller.factory, _device(call), _paging(call)
        found = await self.backend.read(lambda uow: list_updates(uow, factory, ref))
        following = next_page(call, _path(call, "/updates/"), paging, len(found))
        updates = tuple(_update_object(update) for update in _page(found, paging))
        return Reply(200, UpdateList(updates=updates, total=len(found), next=following))

    async def _events(self, call: Call[Principal]) -> Reply:
        factory, ref, name = call.caller.factory, _device(call), call.path["update"]
        bodies = await self.backend.read(lambda uow: list_events(uow, factory, ref, name))
        return Reply(200, read_list(b"[" + b",".join(bodies) + b"]", EventObject))

    async def _apps_states(self, call: Call[Principal]) -> Reply:
        factory, ref = call.caller.factory, _device(call)
        found = await self.backend.read(lambda uow: list_apps_states(uow, factory, ref))
        return Reply(200, AppsStates(apps_states=tuple(read_object(state.body) for state in found)))

    async def _tests(self, call: Call[Principal]) -> Reply:
        factory, ref, paging = call.caller.factory, _device(call), _paging(call)
        found = await self.backend.read(lambda uow: list_tests(uow, factory, ref))
        following = next_page(call, _path(call, "/tests/"), paging, len(found))
        tests = tuple(_test_object(view) for view in _page(found, paging))
        return Reply(200, DeviceTestList(tests=tests, total=len(found), next=following))

    async def _test(self, call: Call[Principal]) -> Reply:
        factory, ref, test_id = call.caller.factory, _device(call), call.path["test"]
        return Reply(200, _test_object(await self.backend.read(lambda uow: find_test(uow, factory, ref, test_id))))

    async def _artifact(self, call: Call[Principal]) -> Reply:
        factory, ref, path = call.caller.factory, _device(call), call.path
        test_id, name = path["test"], path["artifact"]
        content = await self.backend.read(lambda uow: read_artifact(uow, factory, ref, test_id, name))
        # Names are checked when a device announces them, so nothing in one ends the quotes.
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Reply(200, content, _ARTIFACT_HEADERS | disposition, media_type="application/octet-stream")


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Return all endpoints of reports."""
    return DeviceReportEndpoints(backend).declare()


def _device(call: Call[Principal]) -> DeviceRef:
    if call.query.factory is not None and call.query.factory != call.caller.factory.name:
        raise wrong_factory(call.caller)
    return DeviceRef(call.path["device"], is_uuid=call.query.by_uuid)


def _paging(call: Call[Principal]) -> Paging:
    return Paging(call.query.limit, call.query.page)


def _page(found: Sequence[T], paging: Paging) -> Sequence[T]:
    start = (paging.page - 1) * paging.limit
    return found[start : start + paging.limit]


def _path(call: Call[Principal], rest: str) -> str:
    return _DEVICE.format(device=call.path["device"]) + rest


def _update_object(update: Update) -> UpdateObject:
    return UpdateObject(
        correlation_id=update.correlation_id,
        target=update.target_name,
        version=update.version,
        time=wire_time(update.started_at) or "",
        status=update.state.value,
    )


def _test_object(view: DeviceTestView) -> DeviceTestObject:
    test = view.test
    return DeviceTestObject(
        name=test.name,
        test_id=test.test_id,
        device_uuid=view.device.uuid,
        device_name=view.device.name,
        status=test.status.value,
        details=test.details,
        created_on=int(test.created_at.timestamp()),
        completed_on=None if test.completed_at is None else int(test.completed_at.timestamp()),
        results=read_list(test.results, DeviceTestResult),
        artifacts=tuple(artifact.name for artifact in view.artifacts),
        target=test.target_name or None,
    )
