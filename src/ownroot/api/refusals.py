"""What the gateway refused: `/ota/factories/{factory}/refusals/`. Ours, see docs/wire."""

import msgspec

from ownroot.api.backend import Backend
from ownroot.api.listing import Limit
from ownroot.services.authority import Principal
from ownroot.services.records import Refusal
from ownroot.services.scopes import Scope
from ownroot.web.endpoint import Access, Call, Endpoint, Reply
from ownroot.wire.devices import wire_time
from ownroot.wire.refusals import RefusalList, RefusalObject


class _RefusalQuery(msgspec.Struct, frozen=True):
    """The newest; `uuid`: only those of certificates that name this device."""

    limit: Limit = 100
    uuid: str | None = None


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""

    async def show(call: Call[Principal]) -> Reply:
        factory_id, query = call.caller.factory.id, call.query
        found = await backend.read(lambda uow: uow.refusals.list(factory_id, uuid=query.uuid, limit=query.limit))
        return Reply(body=RefusalList(tuple(map(_refusal_object, found))))

    return (
        Endpoint(
            method="GET",
            path="/ota/factories/{factory}/refusals/",
            handler=show,
            access=Access(scopes=(Scope.DEVICES_READ.value,)),
            summary="Show what the gateway refused, newest first, repeats merged.",
            query=_RefusalQuery,
            replies={200: RefusalList},
        ),
    )


def _refusal_object(refusal: Refusal) -> RefusalObject:
    return RefusalObject(
        code=refusal.code,
        detail=refusal.detail,
        uuid=refusal.subject,
        certificate_sha256="" if refusal.certificate_sha256 is None else refusal.certificate_sha256.hex(),
        peer=refusal.peer,
        count=refusal.count,
        first_at=wire_time(refusal.first_at) or "",
        last_at=wire_time(refusal.last_at) or "",
    )
