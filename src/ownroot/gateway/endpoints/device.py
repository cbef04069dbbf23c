"""GET /device: who the gateway thinks is calling."""

from functools import lru_cache

import msgspec

from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.responses import Response
from ownroot.pki.encoding import spki_pem

# A device asks again and again with the same key.
_public_key_pem = lru_cache(maxsize=4096)(spki_pem)


class DeviceDocument(msgspec.Struct, frozen=True):
    """The identity echo (protocol: gateway.md §6.1).

    One client reads `name`, another `Name`, so both are there. Times are Unix seconds. Those from `target_name` on are
    what other gateways send; no client is known to read them.
    """

    factory: str
    repo_id: str
    uuid: str
    name: str
    capital_name: str = msgspec.field(name="Name")
    owner: str
    created_at: int
    last_seen: int
    pubkey: str
    tag: str
    target_name: str
    ostree_hash: str
    docker_apps: list[str]
    group_name: str
    is_prod: bool


_ENCODER = msgspec.json.Encoder()


def show_device(call: DeviceCall) -> Response:
    """GET /device. This request is itself a check-in, so `last_seen` is now."""
    device = call.device
    tags, target, ostree_hash, apps = call.values
    document = DeviceDocument(
        factory=call.factory.name,
        repo_id=call.factory.name,
        uuid=device.uuid,
        name=device.name,
        capital_name=device.name,
        owner=device.owner,
        created_at=int(device.created_at.timestamp()),
        last_seen=int(call.now.timestamp()),
        pubkey=_public_key_pem(device.spki_der),
        tag=tags or "",
        target_name=target or "",
        ostree_hash=ostree_hash or "",
        docker_apps=[app for app in (apps or "").split(",") if app],
        group_name=device.group.name if device.group else "",
        is_prod=device.production,
    )
    return Response(200, _ENCODER.encode(document), b"application/json")
