"""The backend API as one ASGI application."""

from ownroot import __version__
from ownroot.api import accounts, certs, device_groups, devices, fleet_import, operations, pki_health
from ownroot.api.backend import Backend
from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.api.guard import TokenGuard
from ownroot.services.authority import Principal
from ownroot.web.application import Edge, WebApplication
from ownroot.web.openapi import describe


def build_application(backend: Backend, edge: Edge, gateway: GatewayWorkers) -> WebApplication[Principal]:
    """Put all endpoints behind one guard, with their description at `/openapi.json`."""
    endpoints = (
        *accounts.endpoints(backend),
        *certs.endpoints(backend),
        *pki_health.endpoints(backend, gateway),
        *devices.endpoints(backend),
        *device_groups.endpoints(backend),
        *fleet_import.endpoints(backend),
        *operations.endpoints(backend, edge.metrics, gateway),
    )
    document = describe(endpoints, title="Ownroot backend API", version=__version__)
    description = operations.description_endpoint(document)
    return WebApplication((*endpoints, description), guard=TokenGuard(backend), edge=edge)
