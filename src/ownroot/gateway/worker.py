"""One gateway worker process, from the first read of trust to the last flush.

Workers share nothing but the port and the database. A worker can open gateway TLS keys and configurations, and nothing
else; whoever starts the process forbids its core dumps before it gets a key (`bootstrap.hardening`).
"""

import asyncio
import gc
import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from ownroot.gateway.admin import AdminServer, Gauges, Readiness, WorkerMetrics
from ownroot.gateway.check_ins import CheckInRecorder
from ownroot.gateway.config_fetches import ConfigFetchRecorder
from ownroot.gateway.device_gateway import DeviceGateway, Recorders
from ownroot.gateway.device_pace import RENEWALS, DevicePace
from ownroot.gateway.endpoints.est import Renewals
from ownroot.gateway.engine import Engine
from ownroot.gateway.est_listener import EstListener
from ownroot.gateway.hub import Hub
from ownroot.gateway.issuing_desk import IssuingDesk
from ownroot.gateway.limits import Limits
from ownroot.gateway.network_uses import NetworkUseRecorder
from ownroot.gateway.refusals import RefusalRecorder
from ownroot.gateway.settings import GatewaySettings
from ownroot.gateway.snapshot import OpenKey, Snapshot
from ownroot.gateway.standing import DeviceSession, StandingMemory
from ownroot.gateway.sweeps import RevocationTimes
from ownroot.gateway.watcher import TrustWatcher
from ownroot.services.config_vault import ConfigVault
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceCertificatePolicy

_log = structlog.get_logger(__name__)
_REMEMBERED_STANDINGS = 65_536
_SPARE_FILES = 256


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker says once, when it serves."""

    worker: int
    pid: int
    address: tuple[str, int]
    admin: tuple[str, int] | None
    est: tuple[str, int] | None = None


def run_worker(  # noqa: PLR0913  (what a process is given)
    settings: GatewaySettings,
    *,
    database: Database,
    open_key: OpenKey,
    config_vault: ConfigVault,
    clock: Callable[[], datetime],
    ready: Callable[[WorkerReport], None],
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status.

    Args:
        open_key: opens sealed gateway TLS keys; it need not open others.
        config_vault: opens configurations, and seals what devices send of theirs.
        ready: called once, when the socket listens and trust was read.
    Raises:
        UnavailableError: trust could not be read at the start. Nothing was closed that was given.
    """
    settings = replace(settings, limits=fit_limits(settings.limits, _raise_file_limit()))
    worker = _Worker(settings, database, open_key, config_vault, clock)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(worker.run(ready))
    return 0


def _raise_file_limit() -> int:
    """Allow as many sockets as the system grants this process; returns how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fit_limits(limits: Limits, open_files: int) -> Limits:
    """Never admit more connections than there are files: beyond that even the database cannot be opened again."""
    return replace(limits, connections=max(1, min(limits.connections, open_files - _SPARE_FILES)))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class _Worker:
    """Wires one process and owns what it starts."""

    def __init__(
        self,
        settings: GatewaySettings,
        database: Database,
        open_key: OpenKey,
        config_vault: ConfigVault,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._config_vault = config_vault
        self._clock = clock
        self._snapshot = Snapshot(open_key, grace_seconds=settings.trust_grace_seconds)
        self._memory = StandingMemory(capacity=_REMEMBERED_STANDINGS)
        self._check_ins = CheckInRecorder(database)
        self._refusals = RefusalRecorder(database)
        self._config_fetches = ConfigFetchRecorder(database)
        self._network_uses = NetworkUseRecorder(database)
        # Finer than the clock of decisions, which tells whole seconds.
        self._revocation_times = RevocationTimes(time.time)
        self._database = database

    async def run(self, ready: Callable[[WorkerReport], None]) -> None:
        settings = self._settings
        stop = _stop_event()
        desk = IssuingDesk(settings.issuing_socket)
        self._renewals = Renewals(desk, DevicePace(RENEWALS, asyncio.get_running_loop().time))
        self._gateway = DeviceGateway(
            self._database,
            self._snapshot,
            self._memory,
            Recorders(
                self._check_ins, self._refusals, self._revocation_times, self._config_fetches, self._network_uses
            ),
            config_vault=self._config_vault,
            renewals=self._renewals,
            clock=self._clock,
            report_quota_bytes=settings.report_quota_bytes,
        )
        watcher = TrustWatcher(
            self._database,
            DeviceCertificatePolicy(settings.allow_rsa, settings.allow_ca_profile),
            self._gateway,
            interval_seconds=settings.poll_interval_ms / 1000,
        )
        await self._read_trust(watcher)
        self._hub: Hub[DeviceSession] = Hub(
            self._gateway, self._snapshot.sites, limits=settings.limits, clock=self._clock
        )
        engine = Engine(self._hub)
        backlogs = (self._check_ins, self._config_fetches, self._network_uses)
        admin = AdminServer(
            WorkerMetrics(self._hub.counters, backlogs, self._refusals, self._revocation_times, gauges=self._gauges),
            self._readiness,
        )
        address = await engine.start(settings.host, settings.port)
        est = await self._start_est()
        admin_address = None if settings.admin_port is None else await admin.start(settings.admin_port)
        jobs = [asyncio.create_task(job.run()) for job in (watcher, self._refusals, *backlogs)]
        _spare_the_garbage_collector()
        est_address = None if est is None else est[1]
        ready(WorkerReport(settings.worker, os.getpid(), address, admin_address, est_address))
        await stop.wait()
        _log.info("gateway worker stops", worker=settings.worker, connections=len(self._hub))
        stopping = [engine] if est is None else [engine, est[0]]
        await asyncio.gather(*(part.stop(grace_seconds=settings.shutdown_grace_seconds) for part in stopping))
        await self._wind_up(jobs)
        desk.close()
        admin.close()
        watcher.close()

    async def _start_est(self) -> tuple[Engine[DeviceSession], tuple[str, int]] | None:
        """Serve EST on a listener of its own, if one is asked for: the same decisions, fewer paths."""
        settings = self._settings
        if settings.est_host is None:
            return None
        hub: Hub[DeviceSession] = Hub(
            EstListener(self._gateway), self._snapshot.est_sites, limits=settings.limits, clock=self._clock
        )
        engine = Engine(hub)
        return engine, await engine.start(settings.est_host, settings.est_port)

    async def _read_trust(self, watcher: TrustWatcher) -> None:
        asked_at = asyncio.get_running_loop().time()
        self._snapshot.replace(await watcher.read_first(), now=self._clock())
        self._snapshot.confirm(asked_at)

    async def _wind_up(self, jobs: "list[asyncio.Task[None]]") -> None:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await self._check_ins.flush()
        await self._refusals.flush()
        await self._config_fetches.flush()
        await self._network_uses.flush()
        self._gateway.close()

    def _readiness(self) -> Readiness:
        closed = tuple(f"closed, no valid TLS certificate: {name}" for name in self._snapshot.closed)
        closed += (self._renewals.fault,) if self._renewals.fault else ()
        if not self._snapshot.is_fresh(asyncio.get_running_loop().time()):
            return Readiness(False, ("trust could not be read for the grace time; every device is refused", *closed))
        return Readiness(True, closed)

    def _gauges(self) -> Gauges:
        renewals = self._renewals
        return Gauges(len(self._hub), len(self._memory), self._gateway.swept, renewals.renewed, renewals.recovered)


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _spare_the_garbage_collector() -> None:
    """What exists now stays. Connections are freed by reference count, so full collections find nothing anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
