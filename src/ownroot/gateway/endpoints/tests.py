"""Results of actions on a device: POST /tests, PUT /tests/{id}, PUT /tests/{id}/{artifact} (gateway.md §6.9)."""

import asyncio
import secrets
from typing import Final

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.endpoints.routes import Route
from ownroot.gateway.responses import Response
from ownroot.gateway.store import Store
from ownroot.services.record_tests import (
    ArtifactUpload,
    DeviceTestOutcome,
    finish_test,
    parse_artifact_names,
    parse_test_id,
    start_test,
    store_artifact,
)
from ownroot.services.records import Factory
from ownroot.services.report_ports import DeviceTest, DeviceTestStatus
from ownroot.wire.device_reports import (
    MAX_DETAILS_BYTES,
    MAX_NAME_LENGTH,
    ArtifactTarget,
    DeviceTestEnd,
    parse_test_end,
    parse_test_start,
    storable,
)

MAX_ARTIFACT_BYTES: Final = 1024 * 1024
_CONTENT_TYPE: Final = "text/plain; charset=utf-8"
# One transaction carries what waits for it, and everybody's check-ins wait for that transaction.
_ARTIFACTS_AT_ONCE: Final = 4
_ENDS: Final = {status.value: status for status in (DeviceTestStatus.PASSED, DeviceTestStatus.FAILED)}
_ENCODER: Final = msgspec.json.Encoder()


class DeviceTestEndpoints:
    """Handlers of tests; each answers once what it was told is durable."""

    def __init__(self, store: Store, *, quota_bytes: int) -> None:
        self._store = store
        self._quota_bytes = quota_bytes
        self._artifacts = asyncio.Semaphore(_ARTIFACTS_AT_ONCE)

    def routes(self) -> dict[str, Route]:
        """Return the paths."""
        return {
            "/tests": Route({"POST": self.start}),
            "/tests/{}": Route({"PUT": self.finish}),
            "/tests/{}/{}": Route({"PUT": self.put_artifact}, body_bytes=MAX_ARTIFACT_BYTES),
        }

    async def start(self, call: DeviceCall) -> Response:
        """POST /tests: 201 with the bare id, which the device puts into addresses."""
        form = parse_test_start(call.request.body)
        test_id = parse_test_id(form.test_id) if form.test_id else secrets.token_urlsafe(18)
        _, running, _, _ = call.values
        target = running if b"x-ats-target" in call.request.headers and running else form.target
        test = DeviceTest(
            id=0,
            test_id=test_id,
            name=form.name,
            target_name=storable(target, MAX_NAME_LENGTH),
            status=DeviceTestStatus.RUNNING,
            details="",
            results=b"[]",
            created_at=call.now,
            completed_at=None,
        )
        await self._store.write(lambda uow: start_test(uow, call.device, test))
        return Response(201, test_id.encode("ascii"))

    async def finish(self, call: DeviceCall, test_id: str) -> Response:
        """PUT /tests/{id}: 200 with an address for each artifact."""
        parse_test_id(test_id)
        outcome = _outcome(parse_test_end(call.request.body))
        base = f"https://{_own_host(call)}/tests/{test_id}"
        await self._store.write(lambda uow: finish_test(uow, call.device, test_id, outcome, now=call.now))
        targets = {name: ArtifactTarget(url=f"{base}/{name}", content_type=_CONTENT_TYPE) for name in outcome.artifacts}
        return Response(200, _ENCODER.encode(targets), b"application/json")

    async def put_artifact(self, call: DeviceCall, test_id: str, name: str) -> Response:
        """PUT /tests/{id}/{artifact}: 200. Any content under any content type; owners get it as a file."""
        parse_artifact_names([name])
        upload = ArtifactUpload(parse_test_id(test_id), name, call.request.body)
        async with self._artifacts:
            await self._store.write(lambda uow: store_artifact(uow, call.device, upload, quota_bytes=self._quota_bytes))
        return Response(200)


def _outcome(form: DeviceTestEnd) -> DeviceTestOutcome:
    status = _ENDS.get(form.status)
    if status is None:
        raise InvalidInputError("test-status", f"A test ends as {' or '.join(_ENDS)}.")
    return DeviceTestOutcome(
        status=status,
        details=storable(form.details, MAX_DETAILS_BYTES),
        results=_ENCODER.encode(form.results),
        artifacts=parse_artifact_names(form.artifacts),
    )


def _own_host(call: DeviceCall) -> str:
    """Return host and port as the device wrote them, if the host is this factory's.

    A device sends its certificate only to addresses that begin with the one it knows us by, port included, so they
    cannot be made from our own settings.

    Raises:
        InvalidInputError: `host-not-ours`.
    """
    host = call.request.headers.get(b"host", b"").decode("ascii") or call.factory.gateway_name
    if host.partition(":")[0].lower() not in _names(call.factory):
        raise InvalidInputError("host-not-ours", f"Call this gateway {call.factory.gateway_name}, in the Host header.")
    return host


def _names(factory: Factory) -> tuple[str, str]:
    return factory.gateway_name, f"ostree.{factory.gateway_name}"
