"""What the supervisor makes of a machine that will not start a process."""

import asyncio
import sys

import pytest

from ownroot.bootstrap.jobs import GatewayJob
from ownroot.bootstrap.supervisor import Supervisor
from ownroot.errors import UnavailableError

JOB = GatewayJob(
    database_url="sqlite:////nowhere",
    sub_keys={},
    log_level="info",
    host="127.0.0.1",
    port=0,
    worker=0,
    trust_grace_seconds=1,
    allow_rsa=False,
    allow_ca_profile=False,
    report_quota_mib=20,
    admin_port=0,
    issuing_socket="/nowhere/issuing.sock",
    est_host=None,
    est_port=0,
)


def test_a_part_that_cannot_be_started_ends_the_start_with_its_name(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    came_up = []
    with pytest.raises(UnavailableError) as failed:
        asyncio.run(Supervisor([("gateway worker 0", JOB)], lambda: came_up.append(True)).run())
    assert (failed.value.code, came_up) == ("part-failed", [])
    assert "gateway worker 0" in failed.value.detail
