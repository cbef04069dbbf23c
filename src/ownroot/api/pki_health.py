"""`GET /ota/factories/{factory}/certs/health/`: what only the server can find out about a factory's PKI (docs/wire)."""

import asyncio
import math

from ownroot.api.backend import Backend
from ownroot.api.gateway_workers import GatewayWorkers
from ownroot.pki.serials import serial_text
from ownroot.services.authority import Principal
from ownroot.services.examine_pki import KeysInService, TriedKey, keys_in_service, try_keys
from ownroot.services.records import Factory
from ownroot.services.scopes import Role, Scope
from ownroot.web.endpoint import Access, Call, Endpoint, Reply
from ownroot.wire.pki_health import GatewayHealth, HealthFault, IssuedCount, KeyHealth, PkiHealth, RevocationBucket


class PkiHealthPage:
    """Handler of the examination."""

    def __init__(self, backend: Backend, gateway: GatewayWorkers) -> None:
        self._backend = backend
        self._gateway = gateway
        # One examination of a factory at a time: a key on a token that hangs must not be asked again and again.
        self._under_way: dict[int, asyncio.Task[tuple[KeysInService, list[TriedKey]]]] = {}

    async def examine(self, call: Call[Principal]) -> Reply:
        """Let each key sign, count, ask the gateway workers. What is wrong is in the answer, never its status."""
        found, tried = await self._examination(call.caller.factory)
        issued = tuple(IssuedCount(serial=serial_text(serial), issued=count) for serial, count in found.issued.items())
        health = PkiHealth(keys=tuple(map(_health, tried)), issued=issued, gateway=await self._ask_gateway())
        return Reply(body=health)

    async def _examination(self, factory: Factory) -> tuple[KeysInService, list[TriedKey]]:
        task = self._under_way.get(factory.id)
        if task is None:
            task = self._under_way[factory.id] = asyncio.create_task(self._try_keys(factory))
            task.add_done_callback(lambda _: self._under_way.pop(factory.id, None))
        return await asyncio.shield(task)  # others wait for it too

    async def _try_keys(self, factory: Factory) -> tuple[KeysInService, list[TriedKey]]:
        found = await self._backend.read(lambda uow: keys_in_service(uow, factory))
        return found, await self._backend.run(try_keys(found, self._backend.keyring))

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
