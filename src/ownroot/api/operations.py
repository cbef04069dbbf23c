"""Pages for the operator and their tools: liveness, readiness, metrics, the API's own description; and the summary
of a factory that a status command shows."""

import math
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from ownroot.api.backend import Backend
from ownroot.api.ca_token_care import CaTokenCare
from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.errors import RefusedError, UnavailableError
from ownroot.services.authority import Principal
from ownroot.services.scopes import Role, Scope
from ownroot.web.endpoint import PUBLIC, Access, Call, Endpoint, Reply
from ownroot.web.metrics import CONTENT_TYPE, RequestMetrics
from ownroot.wire.documents import write_document
from ownroot.wire.status import FactoryStatus

_READ = Access(scopes=(Scope.DEVICES_READ, Scope.CERTS_MANAGE), or_roles=(Role.OWNER, Role.ADMIN))
_ALIVE = {"status": "ok"}


class OperationsPages:
    """Handlers for monitoring."""

    def __init__(
        self, backend: Backend, metrics: RequestMetrics, gateway: GatewayWorkers, ca_token: CaTokenCare
    ) -> None:
        self._backend = backend
        self._metrics = metrics
        self._gateway = gateway
        self._held = metrics.add_gauge("ownroot_held_devices", "Devices held for review after a restore.")
        self._ca_token = ca_token

    async def alive(self, _call: Call[Principal]) -> Reply:
        """The process answers."""
        return Reply(body=_ALIVE)

    async def ready(self, _call: Call[Principal]) -> Reply:
        """The server can serve: database, gateway workers and the online CAs' token. Otherwise 503 with what is wrong.

        Not why a worker is not ready, or which token it is: anybody may ask here.
        """
        await self._backend.read(lambda uow: uow.changes.generation())
        fault = await self._ca_token.fault()
        if fault is not None:
            raise UnavailableError(
                "online-ca-token-not-ready",
                f"Not ready: keys of online device CAs lie on a token and cannot be used ({fault.code}). The server's "
                "log says more.",
                retry_after=5,
            )
        unready = await self._gateway.unready()
        if unready:
            numbers = ", ".join(map(str, unready))
            raise UnavailableError(
                "gateway-not-ready",
                f"Not ready: gateway worker {numbers}. Each says why at /readyz of its address under gateway-admin in "
                "serve.json, to callers on the server's own machine.",
                retry_after=5,
            )
        return Reply(body=_ALIVE)

    async def metrics(self, call: Call[Principal]) -> Reply:
        """Counters, for callers on this machine."""
        client = call.arrival.client_address
        if not client or not ip_address(client).is_loopback:
            raise RefusedError("metrics-local-only", "Metrics are shown to callers on the server's own machine only.")
        try:
            self._held.set(await self._backend.read(lambda uow: uow.held_devices.count()))
        except UnavailableError:
            self._held.set(math.nan)  # the other figures are wanted most when the database is away
        return Reply(body=self._metrics.render(), media_type=CONTENT_TYPE)

    async def status(self, call: Call[Principal]) -> Reply:
        """How many devices there are."""
        factory = call.caller.factory
        total = await self._backend.read(lambda uow: uow.devices.count(factory.id))
        return Reply(body=FactoryStatus(total_devices=total))


def endpoints(
    backend: Backend, metrics: RequestMetrics, gateway: GatewayWorkers, ca_token: CaTokenCare
) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    pages = OperationsPages(backend, metrics, gateway, ca_token)
    return (
        Endpoint(
            method="GET",
            path="/ota/factories/{factory}/status/",
            handler=pages.status,
            access=_READ,
            summary="Count the devices of a factory.",
            replies={200: FactoryStatus},
        ),
        Endpoint(
            method="GET",
            path="/healthz",
            handler=pages.alive,
            access=PUBLIC,
            summary="Is the process alive?",
            replies={200: dict[str, str]},
        ),
        Endpoint(
            method="GET",
            path="/readyz",
            handler=pages.ready,
            access=PUBLIC,
            summary="Can the server serve?",
            replies={200: dict[str, str]},
        ),
        Endpoint(
            method="GET", path="/metrics", handler=pages.metrics, access=PUBLIC, summary="Prometheus.", hidden=True
        ),
    )


def description_endpoint(document: Mapping[str, Any]) -> Endpoint[Principal]:
    """Declare the page that serves the API's OpenAPI description."""
    body = write_document(document)

    async def show(_call: Call[Principal]) -> Reply:
        return Reply(body=body)

    return Endpoint(
        method="GET", path="/openapi.json", handler=show, access=PUBLIC, summary="This document.", hidden=True
    )
