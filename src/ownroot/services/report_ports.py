"""What devices report about themselves, as values, and what a transaction can be asked and told of it.

Everything here belongs to one device and goes with it: whoever deletes a device deletes its reports in the same
transaction, an older version of this program included. The rules are those of `ports`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from ownroot.services.records import Device

MAX_UPDATES: Final = 20
"""Groups of events kept for a device (protocol: gateway.md §6.6)."""
MAX_EVENTS_PER_UPDATE: Final = 50
MAX_APPS_STATES: Final = 10
"""Reports of running apps kept for a device (gateway.md §6.8)."""
MAX_TESTS: Final = 50


class DocumentKind(StrEnum):
    """What a device says about itself as a whole; the last one of each kind is kept."""

    HARDWARE = "hardware"
    NETWORK = "network"
    SETTINGS = "settings"


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes are the device's own, bounded and not otherwise looked at."""

    kind: DocumentKind
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class AppsState:
    """A report of running apps: a JSON object in the device's own bytes."""

    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """One step of something that a device does; `success` None: it did not say.

    `body` is the event as owners read it, JSON, bounded. Target and version are empty where there is none.
    """

    id: str
    correlation_id: str
    kind: str
    success: bool | None
    target_name: str
    version: str
    body: bytes


class UpdateState(StrEnum):
    """How far a group of events has come."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Update:
    """A group of events that share a correlation id. `is_ota`: it installs something; else a rotation or the like.

    Times are ours, not the device's. `id` 0: not stored yet.
    """

    id: int
    correlation_id: str
    target_name: str
    version: str
    is_ota: bool
    state: UpdateState
    started_at: datetime
    last_at: datetime


class DeviceTestStatus(StrEnum):
    """Where a test stands, spelled as on the wire."""

    RUNNING = "RUNNING"
    PASSED = "PASSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DeviceTest:
    """One run of an action and what came of it. `results` is a JSON array. `id` 0: not stored yet."""

    id: int
    test_id: str
    name: str
    target_name: str
    status: DeviceTestStatus
    details: str
    results: bytes
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that belongs to a test. `size_bytes` None: announced, and not here (yet, or any more)."""

    name: str
    size_bytes: int | None


class Reporters(Protocol):
    def find(self, device: Device) -> int | None:
        """The number under which this device's reports are stored; None if it is gone, or has another key by now."""
        ...


class DeviceDocuments(Protocol):
    def find(self, reporter: int, kind: DocumentKind) -> Document | None: ...
    def put(self, reporter: int, document: Document) -> None:
        """Store in place of the last one of its kind."""
        ...

    def apps_states(self, reporter: int) -> Sequence[AppsState]:
        """Newest first."""
        ...

    def add_apps_state(self, reporter: int, state: AppsState) -> None:
        """Keeps the newest `MAX_APPS_STATES`."""
        ...


class DeviceUpdates(Protocol):
    def find(self, reporter: int, correlation_id: str) -> Update | None: ...
    def list(self, reporter: int) -> Sequence[Update]:
        """Newest first, by their first event."""
        ...

    def known_events(self, reporter: int, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of these ids that are stored, in whatever group."""
        ...

    def put(self, reporter: int, update: Update, events: Sequence[ReportedEvent]) -> None:
        """Store a group, new or known, and append events that are not known.

        Keeps the newest `MAX_UPDATES` groups, and of this one the newest `MAX_EVENTS_PER_UPDATE` events.
        """
        ...

    def events(self, update: Update) -> Sequence[bytes]:
        """Bodies of the events of a stored group, in order of arrival."""
        ...


class DeviceTests(Protocol):
    def find(self, reporter: int, test_id: str) -> DeviceTest | None: ...
    def list(self, reporter: int) -> Sequence[DeviceTest]:
        """Newest first."""
        ...

    def add(self, reporter: int, test: DeviceTest) -> None:
        """Keeps the newest `MAX_TESTS` with their artifacts. Raises ConflictError `test-exists`."""
        ...

    def finish(self, test: DeviceTest, artifacts: Sequence[str]) -> None:
        """Store status, details, results and end of a stored test, and which artifacts may come."""
        ...

    def artifacts(self, test: DeviceTest) -> Sequence[Artifact]:
        """By name."""
        ...

    def read_artifact(self, test: DeviceTest, name: str) -> bytes | None: ...
    def write_artifact(self, test: DeviceTest, name: str, content: bytes) -> None:
        """Store the content of an announced artifact, in place of what was there."""
        ...

    def artifact_bytes(self, reporter: int) -> Sequence[tuple[int, int]]:
        """Of each test that holds any, oldest first: its `id` and how many bytes of artifacts."""
        ...

    def drop_artifacts(self, test: int) -> None:
        """Forget the content of a test's artifacts."""
        ...
