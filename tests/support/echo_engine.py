"""The gateway's TLS and HTTP engine on a free port, with an application that only tells what it was given."""

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from OpenSSL import SSL

from ownroot.clock import utc_now
from ownroot.gateway.application import ConnectionControl, Peer
from ownroot.gateway.engine import Engine
from ownroot.gateway.http_parser import Request
from ownroot.gateway.hub import Hub
from ownroot.gateway.limits import Limits
from ownroot.gateway.responses import Response
from ownroot.gateway.sni import Site, SiteTable
from ownroot.gateway.tls_context import make_site_context
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, gateway_tls

NAME = "gw.acme.example"
OTHER_NAME = "gw.other.example"


@dataclass(frozen=True, slots=True)
class Session:
    """What the application keeps of one connection."""

    connection: ConnectionControl
    peer: Peer


@dataclass(slots=True)
class EchoApplication:
    """Answers each request with who asked and what; `slow` keeps answers back until it is set."""

    sessions: list[Session] = field(default_factory=list)
    gone: list[Session] = field(default_factory=list)
    alerts: list[tuple[int | None, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    slow: asyncio.Event | None = None

    def connected(self, connection: ConnectionControl, peer: Peer) -> Session:
        self.sessions.append(Session(connection, peer))
        return self.sessions[-1]

    def body_bytes(self, session: Session, path: str) -> int | None:
        return 200 * 1024 if path == "/long" else None

    def handle(self, session: Session, request: Request) -> Response | Awaitable[Response]:
        self.requests.append(request)
        if request.path == "/broken":
            raise RuntimeError("a handler with a bug")
        if request.path == "/refused":
            return Response(403, b"no\n", close=True)
        if request.path == "/big":
            return Response(200, bytes(int(request.query)))
        if request.path == "/slow":
            return self._later(session, request)
        return self._echo(session, request)

    async def _later(self, session: Session, request: Request) -> Response:
        if self.slow is not None:
            await self.slow.wait()
        return self._echo(session, request)

    def _echo(self, session: Session, request: Request) -> Response:
        der = session.peer.certificate_der
        shown = "none" if der is None else hashlib.sha256(der).hexdigest()
        text = f"site={session.peer.site_key} tls={session.peer.tls_version} certificate={shown} "
        return Response(200, text.encode() + f"{request.method} {request.path} ".encode() + request.body + b"\n")

    def disconnected(self, session: Session) -> None:
        self.gone.append(session)

    def alerted(self, peer_address: str, site_key: int | None, alert: str) -> None:
        assert peer_address == "127.0.0.1"
        self.alerts.append((site_key, alert))


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine that serves. Everything of it lives on the loop of another thread; `call` goes there."""

    address: tuple[str, int]
    application: EchoApplication
    hub: Hub[Session]
    engine: Engine[Session]
    loop: asyncio.AbstractEventLoop
    root: Pair
    ca: Pair
    sites: SiteTable

    @property
    def target(self) -> str:
        """The address as `openssl s_client -connect` wants it."""
        host, port = self.address
        return f"{host}:{port}"

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function on the engine's loop and return its result."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def device(self, uuid: str = "dev-1") -> Pair:
        return device_certificate(self.ca, uuid=uuid)


@contextmanager
def running_engine(
    limits: Limits | None = None, *, spoil: Callable[[SSL.Context], None] = lambda _context: None
) -> Iterator[RunningEngine]:
    """Serve two sites, `NAME` (key 1, the default) and `OTHER_NAME` (key 2), until the block ends.

    Args:
        spoil: may change the TLS settings of every context, for tests that prove what a setting is good for.
    """
    started: list[RunningEngine] = []
    ready, stop = threading.Event(), threading.Event()
    root = factory_root()

    async def serve() -> None:
        sites = _sites({NAME: (1, root), OTHER_NAME: (2, factory_root("other"))}, spoil)
        spoil(sites.base_context)
        application = EchoApplication()
        hub: Hub[Session] = Hub(application, sites, limits=limits or Limits(), clock=utc_now)
        engine = Engine(hub)
        address = await engine.start("127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        started.append(RunningEngine(address, application, hub, engine, loop, root, device_ca(root), sites))
        ready.set()
        await loop.run_in_executor(None, stop.wait)
        await engine.stop(grace_seconds=0.2)
        assert len(hub) == 0

    thread = threading.Thread(target=asyncio.Runner(loop_factory=_new_loop).run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10), "the engine did not start"
    try:
        yield started[0]
    finally:
        stop.set()
        thread.join(10)


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _sites(names: Mapping[str, tuple[int, Pair]], spoil: Callable[[SSL.Context], None]) -> SiteTable:
    def context(tls: Pair) -> SSL.Context:
        made = make_site_context(tls.certificate, tls.ec_key)
        spoil(made)
        return made

    table = SiteTable()
    sites: dict[str, Site] = {}
    for name, (key, root) in names.items():
        tls = gateway_tls(root, dns_names=(name, f"ostree.{name}"))
        sites[name] = Site(key, name.encode(), partial(context, tls))
    table.replace(sites, default=sites[NAME])
    return table


def small(**limits: int) -> Limits:
    """Return the default limits with some changed."""
    return replace(Limits(), **limits)
