"""`ownroot serve`: prepare, bind, start the parts, say where they listen, and clean up behind them."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import msgspec
import structlog

from ownroot.bootstrap.api_tls import names_of
from ownroot.bootstrap.hardening import forbid_core_dumps
from ownroot.bootstrap.installation import Installation, locked, make_data_dir, prepared
from ownroot.bootstrap.jobs import ApiJob, GatewayJob, Job, TokenAccess
from ownroot.bootstrap.logs import set_up_logs
from ownroot.bootstrap.report import ServeReport
from ownroot.bootstrap.sockets import bind_socket
from ownroot.bootstrap.supervisor import Supervisor
from ownroot.clock import utc_now
from ownroot.config import Address, OnlineCaToken, Settings
from ownroot.keystore.durable import replace_file
from ownroot.keystore.labels import ONLINE_CA_PIN_VARIABLE
from ownroot.keystore.pins import find_pin
from ownroot.services.records import SealedKeyPurpose
from ownroot.services.reregistration import Reregistration

DEFAULT_GATEWAY_PORT = 8443
_LOOPBACK = "127.0.0.1"


class Part(StrEnum):
    """What can be served on its own."""

    API = "api"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class _Sockets:
    """The API's listening socket, and those that keep the gateway's ports ours while its workers come and go."""

    api: socket.socket | None
    gateway: socket.socket | None
    est: socket.socket | None
    admin: tuple[socket.socket, ...]

    @property
    def admin_ports(self) -> tuple[int, ...]:
        """Where each worker answers `/readyz` and `/metrics`."""
        return tuple(_port(bound) for bound in self.admin)


def serve(settings: Settings, parts: frozenset[Part], say: Callable[[ServeReport], None]) -> None:
    """Serve until SIGTERM or SIGINT, then leave nothing running.

    Args:
        say: called once, when every part serves.
    Raises:
        OwnrootError: the server cannot start, and why.
    """
    forbid_core_dumps()
    set_up_logs(settings.log_level, part="supervisor")
    settings = _with_names_of_certificate(settings)
    with ExitStack() as stack:
        make_data_dir(settings.data_dir)
        if Part.API in parts:
            # One API per data directory: its start closes what a crash left open, which a second one may be signing.
            stack.enter_context(locked(settings.data_dir / "serve.lock", wait=False))
        sockets = _bind(settings, parts, stack)
        with prepared(
            settings.data_dir,
            settings.database_url,
            gateway_name=settings.gateway.name,
            clock=utc_now,
            kek_token=settings.kek_token,
            backdate=settings.certificates.backdate,
        ) as installation:
            jobs = _jobs(settings, installation, sockets)
            report = _report(settings, installation, sockets)
        report_file = settings.data_dir / ("serve.json" if len(parts) > 1 else f"serve-{next(iter(parts))}.json")

        def on_ready() -> None:
            _write_report(report_file, report)
            say(report)
            structlog.get_logger("ownroot.supervisor").info("serving", **msgspec.to_builtins(report))

        try:
            asyncio.run(_supervise(jobs, on_ready))
        finally:
            report_file.unlink(missing_ok=True)


def _with_names_of_certificate(settings: Settings) -> Settings:
    api = settings.api
    if api.tls is None:
        return settings
    return replace(settings, api=replace(api, names=api.names | names_of(api.tls)))


async def _supervise(jobs: list[tuple[str, Job]], on_ready: Callable[[], None]) -> None:
    await Supervisor(jobs, on_ready).run()


def _bind(settings: Settings, parts: frozenset[Part], stack: ExitStack) -> _Sockets:
    api = gateway = est = None
    admin: list[socket.socket] = []
    if Part.API in parts:
        api = stack.enter_context(bind_socket(settings.api.listen))
        api.listen(2048)
    if Part.GATEWAY in parts:
        gateway = stack.enter_context(_bind_shared(settings.gateway.listen))
        if settings.gateway.est is not None:
            est = stack.enter_context(_bind_shared(settings.gateway.est))
        # Nobody listens on these: Linux lets a worker bind the same port, so a dead one is refused, not waited for.
        admin += [stack.enter_context(bind_socket(Address(_LOOPBACK, port))) for port in settings.gateway.admin_ports]
    return _Sockets(api, gateway, est, tuple(admin))


def _bind_shared(wanted: Address) -> socket.socket:
    """Keep a port that workers will share.

    The first bind, without sharing, finds out whether the port is free at all: with SO_REUSEPORT a second server of the
    same user would silently get half of the devices.
    """
    with bind_socket(wanted) as probe:
        address = Address(wanted.host, probe.getsockname()[1])
    return bind_socket(address, shared=True)


def _jobs(settings: Settings, installation: Installation, sockets: _Sockets) -> list[tuple[str, Job]]:
    jobs: list[tuple[str, Job]] = []
    if sockets.api is not None:
        jobs.append(("API", _api_job(settings, installation, sockets.api, sockets)))
    if sockets.gateway is not None:
        for number in range(len(sockets.admin)):
            job = _gateway_job(settings, installation, sockets, sockets.gateway, number)
            jobs.append((f"gateway worker {number}", job))
    return jobs


def _api_job(settings: Settings, installation: Installation, bound: socket.socket, sockets: _Sockets) -> ApiJob:
    api, tls = settings.api, settings.api.tls
    gateway_port = DEFAULT_GATEWAY_PORT if sockets.gateway is None else _port(sockets.gateway)
    groups = settings.registration.production_groups
    return ApiJob(
        database_url=settings.database_url,
        sub_keys=dict(installation.sub_keys),
        log_level=settings.log_level,
        socket_fd=bound.fileno(),
        names=tuple(api.names),
        proxies=tuple(str(network) for network in api.proxies),
        public_url=api.public_url,
        tls_certificate=None if tls is None else str(tls.certificate),
        tls_key=None if tls is None else str(tls.key),
        max_body_bytes=api.max_body_bytes,
        body_timeout_seconds=api.body_timeout_seconds,
        public_gateway_port=settings.gateway.public_port or gateway_port,
        gateway_admin_ports=sockets.admin_ports,
        alone=settings.database_url.startswith("sqlite"),
        online_ca_token=_token_access(settings.online_ca_token),
        production_groups=None if groups is None else tuple(groups),
        reregister=Reregistration(settings.registration.reregister),
        issuing_socket=str(settings.issuing_socket),
        allow_rsa=settings.gateway.allow_rsa,
        allow_ca_profile=settings.gateway.allow_ca_profile,
        device_days=settings.certificates.device_days,
        renewal_days=settings.certificates.renewal_days,
        backdate_seconds=int(settings.certificates.backdate.total_seconds()),
    )


def _token_access(token: OnlineCaToken | None) -> TokenAccess | None:
    if token is None:
        return None
    pin = find_pin(token.token_label, token.pin_file, os.environ, variable=ONLINE_CA_PIN_VARIABLE)
    return TokenAccess(module=str(token.module), token_label=token.token_label, pin=pin)


def _gateway_job(
    settings: Settings, installation: Installation, sockets: _Sockets, bound: socket.socket, worker: int
) -> GatewayJob:
    gateway, est = settings.gateway, sockets.est
    purposes = (SealedKeyPurpose.GATEWAY_TLS, SealedKeyPurpose.DEVICE_CONFIG)
    return GatewayJob(
        database_url=settings.database_url,
        sub_keys={purpose: installation.sub_keys[purpose] for purpose in purposes},
        log_level=settings.log_level,
        host=gateway.listen.host,
        port=_port(bound),
        worker=worker,
        trust_grace_seconds=gateway.trust_grace_seconds,
        allow_rsa=gateway.allow_rsa,
        allow_ca_profile=gateway.allow_ca_profile,
        report_quota_mib=gateway.report_quota_mib,
        admin_port=sockets.admin_ports[worker],
        issuing_socket=str(settings.issuing_socket),
        est_host=None if gateway.est is None else gateway.est.host,
        est_port=0 if est is None else _port(est),
    )


def _report(settings: Settings, installation: Installation, sockets: _Sockets) -> ServeReport:
    api = gateway = est = None
    if sockets.api is not None:
        scheme = "http" if settings.api.tls is None else "https"
        api = f"{scheme}://{Address(settings.api.listen.host, _port(sockets.api))}"
    if sockets.gateway is not None:
        gateway = str(Address(settings.gateway.listen.host, _port(sockets.gateway)))
    if settings.gateway.est is not None and sockets.est is not None:
        est = str(Address(settings.gateway.est.host, _port(sockets.est)))
    return ServeReport(
        pid=os.getpid(),
        api=api,
        gateway=gateway,
        est=est,
        gateway_name=None if gateway is None else installation.base_name,
        workers=None if gateway is None else settings.gateway.workers,
        gateway_admin=tuple(str(Address(_LOOPBACK, port)) for port in sockets.admin_ports),
    )


def _write_report(path: Path, report: ServeReport) -> None:
    replace_file(path, msgspec.json.encode(report) + b"\n", mode=0o644)


def _port(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port
