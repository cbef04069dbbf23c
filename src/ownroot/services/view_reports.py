"""What the owner of a factory sees of a device's reports (protocol: api.md §5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ownroot.errors import NotFoundError
from ownroot.services.manage_devices import DeviceRef, find_device
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Device, Factory
from ownroot.services.report_ports import AppsState, Artifact, DeviceTest, Document, DocumentKind, Update


@dataclass(frozen=True, slots=True)
class DeviceReports:
    """The newest of everything; None or empty where a device has not said it.

    `last_ota`: the newest update that installs something.
    """

    documents: dict[DocumentKind, Document]
    apps_state: AppsState | None
    last_ota: Update | None


@dataclass(frozen=True, slots=True)
class DeviceTestView:
    """A test with its device and those of its artifacts that are here."""

    device: Device
    test: DeviceTest
    artifacts: tuple[Artifact, ...]


def view_reports(uow: UnitOfWork, device: Device) -> DeviceReports:
    """Return the newest reports of a device of this same transaction."""
    reporter = _reporter(uow, device)
    found = (uow.documents.find(reporter, kind) for kind in DocumentKind)
    states = uow.documents.apps_states(reporter)
    return DeviceReports(
        documents={document.kind: document for document in found if document is not None},
        apps_state=states[0] if states else None,
        last_ota=next((update for update in uow.updates.list(reporter) if update.is_ota), None),
    )


def list_updates(uow: UnitOfWork, factory: Factory, ref: DeviceRef) -> Sequence[Update]:
    """Return a device's updates, newest first. Raises as `find_device`."""
    return uow.updates.list(_reporter(uow, find_device(uow, factory, ref)))


def list_events(uow: UnitOfWork, factory: Factory, ref: DeviceRef, correlation_id: str) -> Sequence[bytes]:
    """Return the events of one update, oldest first, each a JSON object.

    Raises:
        NotFoundError: `update-unknown`; as `find_device`.
    """
    update = uow.updates.find(_reporter(uow, find_device(uow, factory, ref)), correlation_id)
    if update is None:
        raise NotFoundError("update-unknown", f"The device has no update {correlation_id[:64]!r}; the newest are kept.")
    return uow.updates.events(update)


def list_apps_states(uow: UnitOfWork, factory: Factory, ref: DeviceRef) -> Sequence[AppsState]:
    """Return a device's reports of its apps, newest first. Raises as `find_device`."""
    return uow.documents.apps_states(_reporter(uow, find_device(uow, factory, ref)))


def list_tests(uow: UnitOfWork, factory: Factory, ref: DeviceRef) -> Sequence[DeviceTestView]:
    """Return a device's tests, newest first. Raises as `find_device`."""
    device = find_device(uow, factory, ref)
    return [_view(uow, device, test) for test in uow.tests.list(_reporter(uow, device))]


def find_test(uow: UnitOfWork, factory: Factory, ref: DeviceRef, test_id: str) -> DeviceTestView:
    """Return one test.

    Raises:
        NotFoundError: `test-unknown`; as `find_device`.
    """
    device = find_device(uow, factory, ref)
    test = uow.tests.find(_reporter(uow, device), test_id)
    if test is None:
        raise NotFoundError("test-unknown", f"The device has no test {test_id[:64]!r}; the newest are kept.")
    return _view(uow, device, test)


def read_artifact(uow: UnitOfWork, factory: Factory, ref: DeviceRef, test_id: str, name: str) -> bytes:
    """Return the bytes of an artifact, which are the device's own.

    Raises:
        NotFoundError: `artifact-unknown`; as `find_test`.
    """
    content = uow.tests.read_artifact(find_test(uow, factory, ref, test_id).test, name)
    if content is None:
        raise NotFoundError(
            "artifact-unknown",
            f"The test has no artifact {name[:64]!r}. It may not have come, or newer ones needed the room.",
        )
    return content


def _view(uow: UnitOfWork, device: Device, test: DeviceTest) -> DeviceTestView:
    here = tuple(artifact for artifact in uow.tests.artifacts(test) if artifact.size_bytes is not None)
    return DeviceTestView(device, test, here)


def _reporter(uow: UnitOfWork, device: Device) -> int:
    reporter = uow.reporters.find(device)
    if reporter is None:
        raise AssertionError("the device was read in this very transaction")
    return reporter
