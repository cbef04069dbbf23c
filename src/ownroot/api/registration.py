"""`POST /ota/devices/`: a device gets its certificate and settings (protocol: registration.md §4-8)."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from ownroot.api.backend import Backend
from ownroot.pki.encoding import certificate_pem
from ownroot.pki.names import ostree_name
from ownroot.services.authority import Principal
from ownroot.services.device_reservations import Registered
from ownroot.services.records import Factory
from ownroot.services.register_device import Issuing, Registration, register_device
from ownroot.services.scopes import Scope
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.registration import (
    RegistrationForm,
    RegistrationReply,
    RegistrationRequest,
    parse_registration_request,
)
from ownroot.wire.sota_toml import SotaSettings, render_sota_toml

# The root and the CA are the same in one answer after the other.
_ca_pem = lru_cache(maxsize=64)(certificate_pem)


@dataclass(frozen=True, slots=True)
class _Received:
    """The request, and the hash of its bytes for the issuance log."""

    request: RegistrationRequest
    sha256: bytes


class RegistrationEndpoint:
    """Registers devices with the online CA of the caller's factory."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._issuing = Issuing(backend.issuers, backend.policy)

    def endpoint(self) -> Endpoint[Principal]:
        """Declare it."""
        return Endpoint(
            method="POST",
            path="/ota/devices/",
            handler=self._register,
            access=Access(scopes=(Scope.DEVICES_CREATE.value,), one_device=True),
            summary="Register a device; the same request again gets the same certificate.",
            body=JsonBody(_receive, RegistrationForm),
            replies={201: RegistrationReply},
        )

    async def _register(self, call: Call[Principal]) -> Reply:
        request: RegistrationRequest = call.body.request
        # Before anything is signed: whatever is wrong with the overrides must leave no trace.
        settings = render_sota_toml(_settings(request, call.caller.factory, self._backend.public_gateway_port))
        registration = Registration(
            csr=request.csr,
            uuid=request.uuid,
            name=request.name,
            group=request.group,
            request_sha256=call.body.sha256,
        )
        steps = register_device(registration, by=call.caller, issuing=self._issuing, now=call.now)
        return Reply(201, _reply(await self._backend.run(steps), settings))


def _receive(body: bytes) -> _Received:
    return _Received(parse_registration_request(body), hashlib.sha256(body).digest())


def _settings(request: RegistrationRequest, factory: Factory, port: int) -> SotaSettings:
    gateway = f"https://{factory.gateway_name}:{port}"
    ostree = f"https://{ostree_name(factory.gateway_name)}:{port}"
    return SotaSettings(
        gateway_url=gateway,
        ostree_url=ostree if request.use_ostree_server else gateway,
        hardware_id=request.hardware_id,
        config_dir=request.config_dir,
        overrides=request.overrides,
    )


def _reply(registered: Registered, settings: str) -> RegistrationReply:
    client = certificate_pem(registered.certificate)
    return RegistrationReply(
        root_crt=_ca_pem(registered.root),
        sota_toml=settings,
        client_pem=client,
        client_chained=client + _ca_pem(registered.issuer),
    )
