"""Tests of devices and their artifacts, which lie in the database: several gateway machines share nothing else."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from ownroot.errors import ConflictError
from ownroot.services.report_ports import MAX_TESTS, Artifact, DeviceTest, DeviceTestStatus
from ownroot.storage.inserts import insert_if_absent
from ownroot.storage.schema import device_tests, test_artifacts
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_COLUMNS: Final = (
    device_tests.c.id,
    device_tests.c.test_id,
    device_tests.c.name,
    device_tests.c.target_name,
    device_tests.c.status,
    device_tests.c.details,
    device_tests.c.results,
    device_tests.c.created_at,
    device_tests.c.completed_at,
)
_OF_REPORTER: Final = device_tests.c.device_id == param("reporter")
_FIND: Final = Statement(sa.select(*_COLUMNS).where(_OF_REPORTER, device_tests.c.test_id == param("wanted")))
_LIST: Final = Statement(sa.select(*_COLUMNS).where(_OF_REPORTER).order_by(device_tests.c.id.desc()))
_ADD: Final = insert_if_absent(
    device_tests,
    "device_id",
    "test_id",
    "name",
    "target_name",
    "status",
    "details",
    "results",
    "created_at",
)
_NEWEST_TO_GO: Final = (
    sa.select(device_tests.c.id)
    .where(_OF_REPORTER)
    .order_by(device_tests.c.id.desc())
    .limit(sa.literal_column("1"))
    .offset(sa.literal_column(str(MAX_TESTS)))
    .scalar_subquery()
)
_TRIM: Final = Statement(sa.delete(device_tests).where(_OF_REPORTER, device_tests.c.id <= _NEWEST_TO_GO))
_FINISH: Final = Statement(
    sa.update(device_tests)
    .where(device_tests.c.id == param("wanted"))
    .values(
        status=param("new_status"),
        details=param("new_details"),
        results=param("new_results"),
        completed_at=param("at"),
    )
)
_OF_TEST: Final = test_artifacts.c.test == param("wanted")
_IS_ARTIFACT: Final = sa.and_(_OF_TEST, test_artifacts.c.name == param("called"))
_ANNOUNCE: Final = insert_if_absent(test_artifacts, "test", "name")
_ARTIFACTS: Final = Statement(
    sa.select(test_artifacts.c.name, test_artifacts.c.size_bytes).where(_OF_TEST).order_by(test_artifacts.c.name)
)
_READ: Final = Statement(sa.select(test_artifacts.c.content).where(_IS_ARTIFACT))
_WRITE: Final = Statement(
    sa.update(test_artifacts).where(_IS_ARTIFACT).values(size_bytes=param("size"), content=param("data"))
)
_FORGET: Final = Statement(sa.delete(test_artifacts).where(_IS_ARTIFACT))
_DROP: Final = Statement(sa.update(test_artifacts).where(_OF_TEST).values(size_bytes=sa.null(), content=sa.null()))
_SIZES: Final = Statement(
    sa.select(device_tests.c.id, sa.func.sum(test_artifacts.c.size_bytes))
    .join(test_artifacts, test_artifacts.c.test == device_tests.c.id)
    .where(_OF_REPORTER, test_artifacts.c.size_bytes.is_not(None))
    .group_by(device_tests.c.id)
    .order_by(device_tests.c.id)
)


class SqlDeviceTests:
    """Implements `services.report_ports.DeviceTests`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, reporter: int, test_id: str) -> DeviceTest | None:
        row = self._session.one(_FIND, reporter=reporter, wanted=test_id)
        return None if row is None else _read(row)

    def list(self, reporter: int) -> Sequence[DeviceTest]:
        return [_read(row) for row in self._session.all(_LIST, reporter=reporter)]

    def add(self, reporter: int, test: DeviceTest) -> None:
        """Store a new test and drop those beyond the newest.

        Raises:
            ConflictError: `test-exists`.
        """
        added = self._session.run(
            _ADD,
            device_id=reporter,
            test_id=test.test_id,
            name=test.name,
            target_name=test.target_name,
            status=test.status.value,
            details=test.details,
            results=test.results,
            created_at=to_seconds(test.created_at),
        )
        if not added:
            raise ConflictError("test-exists", f"The device has a test {test.test_id} already.")
        self._session.run(_TRIM, reporter=reporter)

    def finish(self, test: DeviceTest, artifacts: Sequence[str]) -> None:
        self._session.run(
            _FINISH,
            wanted=test.id,
            new_status=test.status.value,
            new_details=test.details,
            new_results=test.results,
            at=None if test.completed_at is None else to_seconds(test.completed_at),
        )
        gone = {artifact.name for artifact in self.artifacts(test)} - set(artifacts)
        self._session.run_many(_FORGET, [{"wanted": test.id, "called": name} for name in gone])
        self._session.run_many(_ANNOUNCE, [{"test": test.id, "name": name} for name in artifacts])

    def artifacts(self, test: DeviceTest) -> Sequence[Artifact]:
        return [Artifact(name, size) for name, size in self._session.all(_ARTIFACTS, wanted=test.id)]

    def read_artifact(self, test: DeviceTest, name: str) -> bytes | None:
        row = self._session.one(_READ, wanted=test.id, called=name)
        return None if row is None or row[0] is None else bytes(row[0])

    def write_artifact(self, test: DeviceTest, name: str, content: bytes) -> None:
        self._session.run(_WRITE, wanted=test.id, called=name, size=len(content), data=content)

    def artifact_bytes(self, reporter: int) -> Sequence[tuple[int, int]]:
        return [(int(id_), int(size)) for id_, size in self._session.all(_SIZES, reporter=reporter)]

    def drop_artifacts(self, test: int) -> None:
        self._session.run(_DROP, wanted=test)


def _read(row: Row) -> DeviceTest:
    id_, test_id, name, target_name, status, details, results, created_at, completed_at = row
    return DeviceTest(
        id_,
        test_id,
        name,
        target_name,
        DeviceTestStatus(status),
        details,
        bytes(results),
        from_seconds(created_at),
        None if completed_at is None else from_seconds(completed_at),
    )
