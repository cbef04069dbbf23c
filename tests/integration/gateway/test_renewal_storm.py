"""A fleet that renews all at once: nobody is turned away but for a while, and nothing is lost or made twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.api_owner import ApiOwner
from tests.support.enrolling import Enrolling, certificate_of, der_of, recorded_renewals, registered
from tests.support.world import running_server


def storm(folder: Path, *, devices: int, workers: int) -> None:
    with running_server(folder, workers=workers) as server:
        owner = ApiOwner(server)
        fleet = [registered(owner, f"board-{number}") for number in range(devices)]
        with ThreadPoolExecutor(devices) as pool:
            replies = list(pool.map(Enrolling.enrol, fleet))
        refused = [reply for reply in replies if reply.status != 200]
        assert {reply.status for reply in refused} <= {429, 503}
        assert all(int(reply.headers["retry-after"]) > 0 for reply in refused)
        handed_out = [der_of(certificate_of(reply)) for reply in replies if reply.status == 200]
        assert len(set(handed_out)) == len(handed_out)
        # Who was turned away comes again, and who was not gets the same again.
        again = [der_of(certificate_of(device.enrol())) for device in fleet]
        assert set(handed_out) <= set(again)
        assert sorted(recorded_renewals(server)) == sorted(again)


def test_a_fleet_renews_at_once(tmp_path: Path) -> None:
    storm(tmp_path, devices=60, workers=1)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_more_devices_than_may_be_under_way(tmp_path: Path) -> None:
    storm(tmp_path, devices=600, workers=1)
