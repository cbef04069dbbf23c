"""`ownroot serve registration`: one process that reads its keys, looks at everything, listens, and says where."""

import asyncio
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from types import FrameType
from typing import Any

import msgspec
import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from ownroot.bootstrap.api_tls import names_of
from ownroot.bootstrap.hardening import allow_many_open_files, forbid_core_dumps
from ownroot.bootstrap.heap import spare_the_garbage_collector
from ownroot.bootstrap.logs import set_up_logs
from ownroot.bootstrap.registration_settings import RegistrationSettings
from ownroot.bootstrap.registration_tls import tls_context
from ownroot.bootstrap.report import RegistrationReport
from ownroot.bootstrap.sockets import bind_socket
from ownroot.clock import utc_now
from ownroot.config import Address
from ownroot.errors import InvalidInputError, RefusedError
from ownroot.keystore.durable import replace_file
from ownroot.registration.allow_list_file import AllowListFile
from ownroot.registration.before_signing import HookQuestions
from ownroot.registration.decisions import last_entry_at
from ownroot.registration.delivery import Couriers, Target
from ownroot.registration.endpoints import endpoints
from ownroot.registration.guard import SiteGuard
from ownroot.registration.hook_loading import Hooks, load_hooks
from ownroot.registration.hook_targets import HookTarget
from ownroot.registration.http_targets import BackendTarget, WebhookTarget
from ownroot.registration.journal import Journal, only_server, opened_journal
from ownroot.registration.metrics import SiteMetrics
from ownroot.registration.pace import Pace
from ownroot.registration.registrar import Desk
from ownroot.registration.reservations import take_back_what_a_crash_left
from ownroot.registration.site import Site, check_site
from ownroot.registration.times import parse_time
from ownroot.web.application import BodyLimits, Edge, WebApplication
from ownroot.web.frontage import Frontage
from ownroot.web.listener import server_options
from ownroot.web.metrics import RequestMetrics

REPORT_FILE = "serve-registration.json"
# The largest request of the field has some 4 KiB; overrides may have 64.
_MAX_BODY_BYTES = 128 * 1024
_CLOCK_SLACK = timedelta(minutes=5)


def serve_registration(settings: RegistrationSettings, say: Callable[[RegistrationReport], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        say: called once, when devices can be registered.
    Raises:
        OwnrootError: the server cannot start, and why.
    """
    forbid_core_dumps()
    allow_many_open_files()
    set_up_logs(settings.log_level, part="registration")
    # uvicorn stops on these signals and then raises them again: with the system's handlers nothing after it would run.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    with ExitStack() as stack:
        stack.enter_context(only_server(settings.data_dir))
        hooks = load_hooks(settings.hooks)
        site = check_site(stack.enter_context(settings.files.opened()), now=utc_now())
        context = None if settings.tls is None else tls_context(settings.tls, settings.client_ca, site)
        journal = stack.enter_context(opened_journal(settings.data_dir))
        _look_back(journal)
        couriers = Couriers(journal, _targets(settings, hooks), patience=settings.patience)
        desk = _desk(settings, site, hooks, journal, couriers)
        listening = stack.enter_context(bind_socket(settings.listen))
        listening.listen(2048)
        report = _report(settings, site, listening)
        report_file = settings.data_dir / REPORT_FILE

        def on_ready() -> None:
            replace_file(report_file, msgspec.json.encode(report) + b"\n", mode=0o644)
            say(report)
            _say_in_log(report, desk)

        stack.callback(report_file.unlink, missing_ok=True)
        _Server(_config(settings, desk, context), desk, on_ready).run(sockets=[listening])


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


class _Server(uvicorn.Server):
    """Says when it serves; couriers come and go with it."""

    def __init__(self, config: uvicorn.Config, desk: Desk, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._desk = desk
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        self._desk.journal.serve(asyncio.get_running_loop())
        await super().startup(sockets)
        if self.started:
            self._desk.couriers.start()
            spare_the_garbage_collector()
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way."""
        await super().shutdown(sockets)
        await asyncio.to_thread(self._desk.couriers.stop)


def _look_back(journal: Journal) -> None:
    """Take back what a crash left, and see that the clock has not gone back: the days of the quota depend on it."""
    now, last = utc_now(), journal.read(last_entry_at)
    if last is not None and now + _CLOCK_SLACK < parse_time(last):
        raise InvalidInputError(
            "clock-behind-journal",
            f"The clock of this machine says {now:%Y-%m-%d %H:%M} UTC, but the journal's last entry is of {last}. "
            "Set the clock: it dates every certificate.",
        )
    taken_back = journal.write(lambda connection: take_back_what_a_crash_left(connection, now))
    if taken_back:
        structlog.get_logger("ownroot.registration").warning(
            "took back what a crash left half signed", count=taken_back
        )


def _targets(settings: RegistrationSettings, hooks: Hooks) -> list[Target]:
    targets: list[Target] = []
    if settings.backend is not None:
        targets.append(BackendTarget(settings.backend))
    if settings.webhook is not None:
        targets.append(WebhookTarget(settings.webhook))
    targets += [HookTarget(hook, limit_seconds=60.0) for hook in hooks.after_signing]
    return targets


def _desk(settings: RegistrationSettings, site: Site, hooks: Hooks, journal: Journal, couriers: Couriers) -> Desk:
    listed = settings.allow_list
    return Desk(
        site=site,
        policy=settings.policy,
        journal=journal,
        couriers=couriers,
        questions=HookQuestions(hooks.before_signing, limit_seconds=settings.hook_seconds),
        allow_lists=None if listed is None else AllowListFile(listed, time.monotonic),
    )


def _config(settings: RegistrationSettings, desk: Desk, context: ssl.SSLContext | None) -> uvicorn.Config:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry, part="registration")
    registry.register(SiteMetrics(desk, utc_now))
    guard = SiteGuard(settings.door, desk.journal, Pace(settings.requests_per_minute, time.monotonic))
    names = settings.names if settings.tls is None else settings.names | names_of(settings.tls, part="server")
    frontage = Frontage(names, settings.proxies, remedy="its operator names it with --name")
    edge = Edge(frontage, metrics, utc_now, BodyLimits(_MAX_BODY_BYTES))
    application = WebApplication(endpoints(desk, metrics, utc_now), guard=guard, edge=edge)
    if context is None:
        return uvicorn.Config(application, **server_options())
    return uvicorn.Config(application, ssl_context_factory=lambda _config, _default: context, **server_options())


def _report(settings: RegistrationSettings, site: Site, listening: socket.socket) -> RegistrationReport:
    scheme = "http" if settings.tls is None else "https"
    address = Address(settings.listen.host, listening.getsockname()[1])
    return RegistrationReport(
        pid=os.getpid(), registration=f"{scheme}://{address}", factory=site.factory, gateway=site.gateway_url
    )


def _say_in_log(report: RegistrationReport, desk: Desk) -> None:
    now = utc_now()
    _log().info("serving", **msgspec.to_builtins(report))
    if warning := desk.site.ends_soon(now):
        _log().warning(warning)
    try:
        desk.policy.window.demand_open(now)
    except RefusedError as closed:
        _log().warning(closed.detail)


def _log() -> Any:
    return structlog.get_logger("ownroot.registration")
