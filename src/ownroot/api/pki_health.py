"""`GET /ota/factories/{factory}/certs/health/`: what only the server can find out about a factory's PKI (docs/wire)."""

import math

from starlette.concurrency import run_in_threadpool

from ownroot.api.backend import Backend
from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.pki.serials import serial_text
from ownroot.services.authority import Principal
from ownroot.services.examine_pki import KeysInService, TriedKey, keys_in_service, try_key
from ownroot.services.scopes import Role, Scope
from ownroot.web.endpoint import Access, Call, Endpoint, Reply
from ownroot.wire.pki_health import GatewayHealth, HealthFault, IssuedCount, KeyHealth, PkiHealth, RevocationBucket


class PkiHealthPage:
    """Handler of the examination."""

    def __init__(self, backend: Backend, gateway: GatewayWorkers) -> None:
        self._backend = backend
        self._gateway = gateway

    async def examine(self, call: Call[Principal]) -> Reply:
        """Let each key sign, count, ask the gateway workers. What is wrong is in the answer, never its status."""
        factory = call.caller.factory
        found = await self._backend.read(lambda uow: keys_in_service(uow, factory))
        tried = await run_in_threadpool(self._try_keys, found)
        issued = tuple(IssuedCount(serial=serial_text(serial), issued=count) for serial, count in found.issued.items())
        health = PkiHealth(keys=tuple(map(_health, tried)), issued=issued, gateway=await self._ask_gateway())
        return Reply(body=health)

    def _try_keys(self, found: KeysInService) -> list[TriedKey]:
        return [try_key(key, self._backend.keyring) for key in found.keys]

    async def _ask_gateway(self) -> GatewayHealth | None:
        if not self._gateway.number:
            return None
        times = await self._gateway.time_to_revoke()
        return GatewayHealth(
            workers=self._gateway.number,
            unready=await self._gateway.unready(),
            time_to_revoke=tuple(
                RevocationBucket(seconds=None if math.isinf(seconds) else seconds, changes=changes)
                for seconds, changes in times
            ),
        )


def endpoints(backend: Backend, gateway: GatewayWorkers) -> tuple[Endpoint[Principal], ...]:
    """Declare it."""
    return (
        Endpoint(
            method="GET",
            path="/ota/factories/{factory}/certs/health/",
            handler=PkiHealthPage(backend, gateway).examine,
            access=Access(scopes=(Scope.CERTS_READ,), or_roles=(Role.OWNER, Role.ADMIN)),
            summary="Let each of the backend's keys sign a challenge, count what its CAs issued, ask the gateway.",
            replies={200: PkiHealth},
        ),
    )


def _health(tried: TriedKey) -> KeyHealth:
    fault = tried.fault
    return KeyHealth(
        kind=tried.key.kind.value,
        serial=serial_text(tried.key.certificate.serial_number),
        fault=None if fault is None else HealthFault(code=fault.code, detail=fault.detail),
    )
