"""What `/readyz` of the API learns from gateway workers, over their real admin servers."""

import asyncio
import math
import socket
from collections.abc import Iterable

from prometheus_client import PlatformCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.gateway.admin import AdminServer, Readiness, time_to_revoke
from ownroot.gateway.sweeps import RevocationTimes

READY = Readiness(True, ())
CLOSED_NAME = Readiness(True, ("closed, no valid TLS certificate: gw.example.com",))
STALE = Readiness(False, ("trust could not be read for the grace time",))


def unready(*workers: Readiness) -> tuple[int, ...]:
    """Ask about workers in these states."""

    async def ask() -> tuple[int, ...]:
        servers = [AdminServer(PlatformCollector(registry=None), lambda state=state: state) for state in workers]
        try:
            ports = [(await server.start(0))[1] for server in servers]
            return await GatewayWorkers(ports).unready()
        finally:
            for server in servers:
                server.close()

    return asyncio.run(ask())


def test_workers_that_are_ready_are_not_named():
    assert unready(READY, READY) == ()


def test_a_worker_that_refuses_every_device_is_named():
    assert unready(READY, STALE, READY) == (1,)


def test_a_worker_that_closed_one_name_is_ready_for_the_others():
    assert unready(CLOSED_NAME) == ()


def test_a_worker_that_is_gone_or_hangs_is_named():
    with socket.socket() as hanging, socket.socket() as gone:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        gone.bind(("127.0.0.1", 0))
        ports = [hanging.getsockname()[1], gone.getsockname()[1]]
        assert asyncio.run(GatewayWorkers(ports).unready()) == (0, 1)


def test_times_to_revoke_of_all_workers_are_added_up():
    async def ask() -> tuple[tuple[float, int], ...]:
        metrics = [_Revoked(times) for times in ((0.02, 0.4), (0.02, 30.0))]
        servers = [AdminServer(metric, lambda: READY) for metric in metrics]
        with socket.socket() as gone:
            gone.bind(("127.0.0.1", 0))
            try:
                ports = [(await server.start(0))[1] for server in servers]
                return await GatewayWorkers([*ports, gone.getsockname()[1]]).time_to_revoke()
            finally:
                for server in servers:
                    server.close()

    times = dict(asyncio.run(ask()))
    assert (times[0.025], times[0.25], times[0.5], times[10.0], times[math.inf]) == (2, 2, 3, 3, 4)


class _Revoked(Collector):
    """What a worker measured that cut connections after these seconds."""

    def __init__(self, seconds: tuple[float, ...]) -> None:
        clock = iter(seconds)
        self._times = RevocationTimes(lambda: next(clock))
        for _ in seconds:
            sweep = self._times.begin(0.0)
            sweep.cut()
            sweep.closed()

    def collect(self) -> Iterable[Metric]:
        yield time_to_revoke(self._times)


def test_an_api_that_runs_alone_speaks_for_itself():
    assert unready() == ()


def test_workers_are_asked_once_a_second_at_most():
    now = 0.0
    state = STALE

    async def ask() -> list[tuple[int, ...]]:
        nonlocal now, state
        server = AdminServer(PlatformCollector(registry=None), lambda: state)
        try:
            workers = GatewayWorkers([(await server.start(0))[1]], ticks=lambda: now)
            answers = [await workers.unready()]
            state, now = READY, 0.9
            answers.append(await workers.unready())
            now = 1.0
            return [*answers, await workers.unready()]
        finally:
            server.close()

    assert asyncio.run(ask()) == [(0,), (0,), ()]
