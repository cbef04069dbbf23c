import pytest

from ownroot.gateway.limits import Limits
from ownroot.gateway.snapshot import Snapshot
from ownroot.gateway.worker import fit_limits


def no_key(_sealed: object) -> None:
    raise AssertionError("nothing is opened before a device calls")


@pytest.mark.parametrize(("at", "fresh"), [(100.0, True), (400.0, True), (400.1, False)])
def test_picture_counts_for_the_grace_time_and_no_longer(at: float, *, fresh: bool) -> None:
    snapshot = Snapshot(no_key, grace_seconds=300)  # type: ignore[arg-type]
    snapshot.confirm(100.0)
    assert snapshot.is_fresh(at) is fresh


def test_picture_never_read_counts_for_nothing() -> None:
    assert not Snapshot(no_key, grace_seconds=300).is_fresh(0.0)  # type: ignore[arg-type]


def test_connections_leave_files_for_the_database() -> None:
    assert fit_limits(Limits(connections=50_000), 4096).connections == 3840
    assert fit_limits(Limits(connections=1000), 4096).connections == 1000
    assert fit_limits(Limits(), 100).connections == 1
