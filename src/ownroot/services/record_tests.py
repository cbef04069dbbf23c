"""Keep the results of actions that an owner ordered on a device (protocol: gateway.md §6.9).

Each of the three steps may be repeated after a lost answer and changes nothing then. Artifacts share a quota per
device: the oldest other test's go to make room, and what does not fit even so is refused, which the device reports as
a failed action and does not repeat.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ownroot.errors import InvalidInputError, NotFoundError, RefusedError
from ownroot.services.ports import UnitOfWork
from ownroot.services.record_reports import require_reporter
from ownroot.services.records import Device
from ownroot.services.report_ports import DeviceTest, DeviceTestStatus

DEFAULT_QUOTA_BYTES: Final = 20 * 1024 * 1024
MAX_ARTIFACTS: Final = 20
_is_test_id = re.compile(r"[A-Za-z0-9_-]{15,48}").fullmatch
_is_artifact_name = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}").fullmatch


@dataclass(frozen=True, slots=True)
class DeviceTestOutcome:
    """How a test ended; `results` is a JSON array. `artifacts`: names from `parse_artifact_names`."""

    status: DeviceTestStatus
    details: str
    results: bytes
    artifacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArtifactUpload:
    """An artifact as it comes; id and name have their forms."""

    test_id: str
    name: str
    content: bytes


def parse_test_id(text: str) -> str:
    """Raises InvalidInputError `test-id`."""
    if _is_test_id(text) is None:
        raise InvalidInputError("test-id", "A test's id has 15 to 48 letters, digits, `-` and `_`.")
    return text


def parse_artifact_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check what will stand in addresses and, with the owner, in file names.

    Raises:
        InvalidInputError: `artifact-name`, `too-many-artifacts`.
    """
    if len(names) > MAX_ARTIFACTS:
        raise InvalidInputError("too-many-artifacts", f"A test has {MAX_ARTIFACTS} artifacts at most.")
    if not all(_is_artifact_name(name) for name in names):
        raise InvalidInputError(
            "artifact-name", "An artifact's name has up to 128 letters, digits, `-`, `_`, `.`, and no dot in front."
        )
    return tuple(dict.fromkeys(names))


def start_test(uow: UnitOfWork, device: Device, test: DeviceTest) -> None:
    """Record that an action runs; one known by this id stays as it is. Raises as `require_reporter`."""
    reporter = require_reporter(uow, device)
    if uow.tests.find(reporter, test.test_id) is None:
        uow.tests.add(reporter, test)


def finish_test(uow: UnitOfWork, device: Device, test_id: str, outcome: DeviceTestOutcome, *, now: datetime) -> None:
    """Record how an action ended and which artifacts will come.

    Raises:
        NotFoundError: `test-unknown`.
        RefusedError: `device-gone`.
    """
    test = _find(uow, require_reporter(uow, device), test_id)
    ended = replace(
        test,
        status=outcome.status,
        details=outcome.details,
        results=outcome.results,
        completed_at=test.completed_at or now,
    )
    uow.tests.finish(ended, outcome.artifacts)


def store_artifact(uow: UnitOfWork, device: Device, upload: ArtifactUpload, *, quota_bytes: int) -> None:
    """Store one announced artifact.

    Raises:
        NotFoundError: `test-unknown`, `artifact-unknown` (it was not announced).
        RefusedError: `artifact-quota`, `device-gone`.
    """
    reporter = require_reporter(uow, device)
    test = _find(uow, reporter, upload.test_id)
    sizes = {artifact.name: artifact.size_bytes or 0 for artifact in uow.tests.artifacts(test)}
    if upload.name not in sizes:
        raise NotFoundError("artifact-unknown", "The test has announced no artifact of this name.")
    own = sum(sizes.values()) - sizes[upload.name] + len(upload.content)
    if own > quota_bytes:
        raise RefusedError("artifact-quota", f"The artifacts of one device may have {quota_bytes} bytes in all.")
    _make_room(uow, reporter, test, quota_bytes - own)
    uow.tests.write_artifact(test, upload.name, upload.content)


def _make_room(uow: UnitOfWork, reporter: int, test: DeviceTest, room: int) -> None:
    """Drop the oldest of the other tests' artifacts until the rest fits into `room` bytes."""
    others = [(id_, size) for id_, size in uow.tests.artifact_bytes(reporter) if id_ != test.id]
    held = sum(size for _, size in others)
    for id_, size in others:
        if held <= room:
            return
        uow.tests.drop_artifacts(id_)
        held -= size


def _find(uow: UnitOfWork, reporter: int, test_id: str) -> DeviceTest:
    test = uow.tests.find(reporter, test_id)
    if test is None:
        raise NotFoundError("test-unknown", f"This device has no test {test_id[:64]!r}; the newest are kept.")
    return test
