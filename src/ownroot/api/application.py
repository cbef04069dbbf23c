"""The backend API as one ASGI application."""

from collections.abc import Sequence

from ownroot import __version__
from ownroot.api import (
    accounts,
    certs,
    clones,
    config,
    device_groups,
    device_reports,
    devices,
    fleet_import,
    forecast,
    held_devices,
    oauth,
    operations,
    pki_health,
    refusals,
    renewals,
    status_feed,
    tuf,
)
from ownroot.api.backend import Backend
from ownroot.api.ca_token_care import CaTokenCare
from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.api.guard import TokenGuard
from ownroot.services.authority import Principal
from ownroot.web.application import Edge, WebApplication
from ownroot.web.endpoint import Endpoint
from ownroot.web.openapi import describe


def build_application(
    backend: Backend,
    edge: Edge,
    gateway: GatewayWorkers,
    ca_token: CaTokenCare,
    pages: Sequence[Endpoint[Principal]] = (),
) -> WebApplication[Principal]:
    """Put all endpoints behind one guard, with their description at `/openapi.json`.

    Args:
        pages: endpoints for people, served beside the API's.
    """
    endpoints = (
        *accounts.endpoints(backend),
        *certs.endpoints(backend, ca_token),
        *pki_health.endpoints(backend, gateway),
        *devices.endpoints(backend),
        *device_groups.endpoints(backend),
        *device_reports.endpoints(backend),
        *clones.endpoints(backend),
        *config.endpoints(backend),
        *fleet_import.endpoints(backend),
        *forecast.endpoints(backend),
        *held_devices.endpoints(backend),
        *refusals.endpoints(backend),
        *renewals.endpoints(backend),
        *status_feed.endpoints(backend),
        *tuf.endpoints(backend),
        *oauth.endpoints(backend),
        *operations.endpoints(backend, edge.metrics, gateway, ca_token),
    )
    document = describe(endpoints, title="Ownroot backend API", version=__version__)
    description = operations.description_endpoint(document)
    return WebApplication((*endpoints, description, *pages), guard=TokenGuard(backend), edge=edge)
