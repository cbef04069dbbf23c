"""The process that serves the API."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from ownroot.api.application import build_application
from ownroot.api.audit_trail import AuditTrail
from ownroot.api.backend import Backend
from ownroot.api.ca_token_care import CaTokenCare
from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.api.issuing_desk import IssuingDesk
from ownroot.bootstrap.heap import spare_the_garbage_collector
from ownroot.bootstrap.installation import (
    drop_what_has_ended,
    finish_what_a_crash_left,
    keyring_of,
    renew_first_tuf_roots,
    renew_tuf_documents,
)
from ownroot.bootstrap.jobs import ApiJob, TokenAccess
from ownroot.clock import utc_now
from ownroot.dashboard import activation
from ownroot.errors import OwnrootError
from ownroot.keystore.ca_keys_on_token import CaKeysOnToken
from ownroot.services.issuers import OnlineIssuers
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceCertificatePolicy
from ownroot.services.register_device import ProductionPolicy, RegistrationPolicy
from ownroot.services.renew_device import Renewing
from ownroot.services.token_keys import CaToken, settle_installation_id
from ownroot.storage import open_database
from ownroot.web.application import BodyLimits, Edge
from ownroot.web.frontage import Frontage
from ownroot.web.listener import server_options
from ownroot.web.metrics import RequestMetrics

_TIDYING_INTERVAL_SECONDS = 60.0
_ROUNDS_BETWEEN_ROOTS = 60  # every factory's root is read for it, and there are months of time


def run_api(job: ApiJob, ready: Callable[[], None]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    database = open_database(job.database_url)
    try:
        finish_what_a_crash_left(database, alone=job.alone, clock=utc_now)
        with _ca_token(job.online_ca_token, database) as token:
            keyring = keyring_of(job.sub_keys, token)
            backend = Backend(
                database, keyring, OnlineIssuers(keyring), job.public_gateway_port, job.public_url, _policy(job)
            )
            care = CaTokenCare(backend)
            pages = activation.endpoints(backend, AuditTrail(backend), job.public_url)
            gateway = GatewayWorkers(job.gateway_admin_ports)
            application = build_application(backend, _edge(job), gateway, care, pages)
            config = uvicorn.Config(
                application, ssl_certfile=job.tls_certificate, ssl_keyfile=job.tls_key, **server_options()
            )
            desk = IssuingDesk(backend, _renewing(job, backend), utc_now)
            server = _Server(config, _Company(desk, Path(job.issuing_socket), care), backend, ready)
            server.run(sockets=[socket.socket(fileno=job.socket_fd)])
            return 0 if server.started else 1
    finally:
        database.close()


@contextmanager
def _ca_token(access: TokenAccess | None, database: Database) -> Iterator[CaToken | None]:
    """Open the token of the online CAs, without asking it: one that is away, or wants another PIN, stops nothing else.

    Raises:
        KeyStoreError: its module cannot be used.
    """
    if access is None:
        yield None
        return
    keys = CaKeysOnToken(Path(access.module), access.token_label, access.pin)
    try:
        yield CaToken(keys, settle_installation_id(database))
    finally:
        keys.close()


@dataclass(frozen=True, slots=True)
class _Company:
    """What runs on the loop beside the API."""

    desk: IssuingDesk
    issuing_socket: Path
    care: CaTokenCare


class _Server(uvicorn.Server):
    """Says when it serves, and tidies up behind requests that died between two commits."""

    def __init__(self, config: uvicorn.Config, company: _Company, backend: Backend, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._database = backend.database
        self._keyring = backend.keyring
        self._company = company
        self._care = company.care
        self._ready = ready
        self._tidying: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("ownroot.api")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started:
            await self._company.desk.start(self._company.issuing_socket)
            self._tidying = asyncio.create_task(self._tidy_up())
            spare_the_garbage_collector()
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way."""
        if self._tidying is not None:
            self._tidying.cancel()
        self._company.desk.close()
        await super().shutdown(sockets)

    async def _tidy_up(self) -> None:
        for number in itertools.count():
            try:
                await asyncio.to_thread(finish_what_a_crash_left, self._database, alone=False, clock=utc_now)
                await asyncio.to_thread(drop_what_has_ended, self._database, clock=utc_now)
                if number % _ROUNDS_BETWEEN_ROOTS == 0:
                    await asyncio.to_thread(renew_first_tuf_roots, self._database, self._keyring, clock=utc_now)
                await asyncio.to_thread(renew_tuf_documents, self._database, self._keyring, clock=utc_now)
                await self._care.sweep()
                await self._care.fault()  # for the log, where nobody asks for readiness
            except OwnrootError as error:
                self._log.warning("tidying up failed", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - the task's edge: unseen, it would never tidy up again
                self._log.exception("tidying up failed")
            await asyncio.sleep(_TIDYING_INTERVAL_SECONDS)


def _policy(job: ApiJob) -> RegistrationPolicy:
    groups = job.production_groups
    production = ProductionPolicy(everywhere=groups is None, groups=frozenset(groups or ()))
    return RegistrationPolicy(
        production=production,
        reregister=job.reregister,
        validity=timedelta(days=job.device_days),
        backdate=_backdate(job),
    )


def _backdate(job: ApiJob) -> timedelta:
    return timedelta(seconds=job.backdate_seconds)


def _renewing(job: ApiJob, backend: Backend) -> Renewing:
    return Renewing(
        backend.issuers,
        DeviceCertificatePolicy(job.allow_rsa, job.allow_ca_profile),
        validity=timedelta(days=job.renewal_days),
        backdate=_backdate(job),
    )


def _edge(job: ApiJob) -> Edge:
    return Edge(
        frontage=Frontage(frozenset(job.names), tuple(ip_network(text) for text in job.proxies)),
        metrics=RequestMetrics(CollectorRegistry()),
        clock=utc_now,
        limits=BodyLimits(job.max_body_bytes, job.body_timeout_seconds),
    )
