"""The pages of a registration server: `POST /sign` for devices, the rest for whoever watches over it.

`HEAD` and `GET` on `/sign` answer 405 at once, without token and certificate: programs of the field ping it so
(registration.md §2.1).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from ownroot.errors import RefusedError, UnavailableError
from ownroot.pki.encoding import certificate_pem
from ownroot.registration.applicant import Arrived, Sender
from ownroot.registration.counts import issued_counts, touch_counts
from ownroot.registration.registrar import Desk, Registrar
from ownroot.registration.reservations import Issued
from ownroot.web.endpoint import PUBLIC, Access, Call, Endpoint, JsonBody, Reply
from ownroot.web.metrics import CONTENT_TYPE, RequestMetrics
from ownroot.wire.registration import (
    RegistrationForm,
    RegistrationReply,
    RegistrationRequest,
    parse_registration_request,
)

SIGN = "/sign"
_ALIVE = {"status": "ok"}
_CLOSED_RETRY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class _Received:
    """The request, and the hash of its bytes for the journal."""

    request: RegistrationRequest
    sha256: bytes


class SignPage:
    """Registers devices."""

    def __init__(self, desk: Desk) -> None:
        self._site = desk.site
        self._registrar = Registrar(desk)
        self._root_pem, self._ca_pem = desk.site.root_pem, desk.site.ca_pem

    async def sign(self, call: Call[Sender]) -> Reply:
        """Give a device its certificate."""
        request, sha256 = call.body.request, call.body.sha256
        # Before anything is signed: whatever is wrong with the overrides must leave no trace.
        settings = self._site.settings_for(request)
        issued = await self._registrar.register(Arrived(request, sha256, call.caller, call.now))
        tags = issued.placement.tags
        return Reply(201, self._reply(issued, self._site.settings_for(request, tags) if tags else settings))

    def _reply(self, issued: Issued, settings: str) -> RegistrationReply:
        client = certificate_pem(issued.certificate)
        return RegistrationReply(
            root_crt=self._root_pem, sota_toml=settings, client_pem=client, client_chained=client + self._ca_pem
        )


class WatchPages:
    """Liveness, readiness, metrics."""

    def __init__(self, desk: Desk, metrics: RequestMetrics, clock: Callable[[], datetime]) -> None:
        self._desk = desk
        self._metrics = metrics
        self._clock = clock

    async def alive(self, _call: Call[Sender]) -> Reply:
        """The process answers."""
        return Reply(body=_ALIVE)

    async def ready(self, _call: Call[Sender]) -> Reply:
        """A new device that the site's lists allow would be registered now: it may be, and the disk takes it."""
        desk, now = self._desk, self._clock()
        await desk.journal.commit(touch_counts)
        today, total = desk.journal.read(lambda connection: issued_counts(connection, now))
        try:
            desk.policy.window.demand_open(now)
            desk.policy.quota.demand_room(today=today, total=total)
        except RefusedError as error:
            raise UnavailableError(error.code, error.detail, retry_after=_CLOSED_RETRY_SECONDS) from error
        if desk.allow_lists is not None:
            desk.allow_lists.current()
        if now > desk.site.issuer.certificate.not_valid_after_utc:
            raise UnavailableError(
                "issuer-expired", "The local device CA has expired; it can sign nothing any more.", retry_after=3600
            )
        return Reply(body=_ALIVE)

    async def metrics(self, call: Call[Sender]) -> Reply:
        """Counters, for callers on this machine."""
        client = call.arrival.client_address
        if not client or not ip_address(client).is_loopback:
            raise RefusedError("metrics-local-only", "Metrics are shown to callers on the server's own machine only.")
        return Reply(body=self._metrics.render(), media_type=CONTENT_TYPE)


def endpoints(desk: Desk, metrics: RequestMetrics, clock: Callable[[], datetime]) -> tuple[Endpoint[Sender], ...]:
    """Declare them."""
    pages = WatchPages(desk, metrics, clock)
    watch = (("/healthz", pages.alive, "Is the process alive?"), ("/readyz", pages.ready, "Can devices be registered?"))
    return (
        Endpoint(
            method="POST",
            path=SIGN,
            handler=SignPage(desk).sign,
            access=Access(),
            summary="Register a device; the same request again gets the same certificate.",
            body=JsonBody(_receive, RegistrationForm),
            replies={201: RegistrationReply},
        ),
        *(
            Endpoint(
                method="GET", path=path, handler=handler, access=PUBLIC, summary=summary, replies={200: dict[str, str]}
            )
            for path, handler, summary in watch
        ),
        Endpoint(
            method="GET", path="/metrics", handler=pages.metrics, access=PUBLIC, summary="Prometheus.", hidden=True
        ),
    )


def _receive(body: bytes) -> _Received:
    return _Received(parse_registration_request(body), hashlib.sha256(body).digest())
