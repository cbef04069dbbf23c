"""How far an update has come."""

from datetime import timedelta

import pytest

from ownroot.services.report_ports import ReportedEvent, UpdateState
from ownroot.services.update_progress import begin_update, follow_events
from tests.support.stored_values import NOW

RUNNING, COMPLETED, FAILED = UpdateState.RUNNING, UpdateState.COMPLETED, UpdateState.FAILED


def steps(*told: tuple[str, bool | None]) -> list[ReportedEvent]:
    return [
        ReportedEvent(str(number), "c", kind, success, "", "", b"{}") for number, (kind, success) in enumerate(told)
    ]


# Events, state, whether it installs something.
STORIES = [
    ([("UpdateInitStarted", None)], RUNNING, True),
    ([("EcuDownloadStarted", None), ("EcuDownloadCompleted", True)], RUNNING, True),
    ([("EcuDownloadStarted", None), ("EcuDownloadCompleted", False)], FAILED, True),
    ([("EcuInstallationStarted", None), ("EcuInstallationApplied", None)], RUNNING, True),
    ([("EcuInstallationStarted", None), ("EcuInstallationCompleted", True)], COMPLETED, True),
    ([("EcuInstallationCompleted", None)], COMPLETED, True),
    ([("EcuInstallationCompleted", False)], FAILED, True),
    ([("EcuDownloadCompleted", False), ("EcuInstallationCompleted", True)], COMPLETED, True),
    ([("EcuInstallationCompleted", False), ("UpdateInitStarted", None)], RUNNING, True),
    ([("CertRotationStarted", True), ("Generate new certificate", True)], RUNNING, False),
    ([("CertRotationStarted", True), ("CertRotationCompleted", True)], COMPLETED, False),
    ([("Generate new certificate", False), ("CertRotationCompleted", True)], FAILED, False),
    ([("something else", None)], RUNNING, False),
]


@pytest.mark.parametrize(("told", "state", "is_ota"), STORIES)
def test_state_follows_from_the_events(told: list[tuple[str, bool | None]], state: UpdateState, is_ota: bool) -> None:
    update = follow_events(begin_update("c", now=NOW), steps(*told), now=NOW)
    assert (update.state, update.is_ota) == (state, is_ota)


def test_target_and_version_stay_when_an_event_names_none() -> None:
    named = ReportedEvent("1", "c", "EcuDownloadStarted", None, "lmp-7", "7", b"{}")
    later = NOW + timedelta(minutes=1)
    update = follow_events(begin_update("c", now=NOW), [named, *steps(("EcuDownloadCompleted", True))], now=later)
    assert (update.target_name, update.version) == ("lmp-7", "7")
    assert (update.started_at, update.last_at) == (NOW, later)
