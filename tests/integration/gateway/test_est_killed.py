"""Parts of the server are killed where they stand while a fleet renews; every device ends with one certificate.

What each single step leaves behind is in tests/unit/services/test_renew_device.py; here nobody chooses the moment.
"""

import http.client
import os
import random
import signal
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair
from tests.support.enrolling import Enrolling, certificate_of, recorded_renewals, registered
from tests.support.tls_device import Reply
from tests.support.world import RunningServer, parts_of, running_server

PATIENCE_SECONDS = 60.0
PASSING = (429, 503)


def kill_now_and_then(server: RunningServer, chance: random.Random, kills: int, done: threading.Event) -> int:
    """Kill parts at random moments; returns how many were hit."""
    hit = 0
    while hit < kills and not done.wait(chance.uniform(0.05, 0.6)):
        parts = parts_of(server)
        if parts:
            os.kill(chance.choice(parts), signal.SIGKILL)
            hit += 1
    return hit


def until_answered(ask: Callable[[], Reply]) -> Reply:
    """Ask as a device does: again after a cut connection, and after an answer that says so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            reply = ask()
            if reply.status not in PASSING:
                return reply
        except (OSError, ssl.SSLError, http.client.HTTPException):
            pass
        assert time.monotonic() < end, "never answered"
        time.sleep(0.1)


def rotate(device: Enrolling) -> Enrolling:
    """Do all that a device does, each step until it is answered."""
    new = certificate_of(until_answered(device.enrol))
    assert until_answered(device.announce).status == 200
    promoted = Enrolling(device.address, Pair(new, device.key))
    assert until_answered(promoted.get).status == 200
    return promoted


def rotate_fleet(folder: Path, *, devices: int, kills: int, seed: int) -> None:
    with running_server(folder, workers=2) as server:
        owner = ApiOwner(server)
        fleet = [registered(owner, f"board-{number}") for number in range(devices)]
        done = threading.Event()
        with ThreadPoolExecutor(9) as pool:
            killer = pool.submit(kill_now_and_then, server, random.Random(seed), kills, done)
            try:
                rotated = list(pool.map(rotate, fleet))
            finally:
                done.set()
        assert killer.result() > 0
        assert [until_answered(device.get).status for device in rotated] == [200] * devices
        assert sorted(recorded_renewals(server)) == sorted(device.identity.der for device in rotated if device.identity)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_fleet_rotates_while_parts_of_the_server_are_killed(tmp_path: Path, seed: int) -> None:
    rotate_fleet(tmp_path, devices=40, kills=4, seed=seed)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(5))
def test_a_larger_fleet_rotates_under_more_kills(tmp_path: Path, seed: int) -> None:
    rotate_fleet(tmp_path, devices=200, kills=12, seed=seed)
