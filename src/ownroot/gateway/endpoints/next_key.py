"""PATCH /device: the key this device will come with next (protocol: gateway.md §6.2)."""

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.responses import Response
from ownroot.gateway.store import Store
from ownroot.services.next_keys import announce_next_key


class _Announcement(msgspec.Struct, frozen=True):
    """`next_pubkey`: PEM, `PUBLIC KEY`. Other members are ignored."""

    next_pubkey: str


class NextKeyEndpoint:
    """Stores what a device announces; devices accept exactly 200 for it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def announce(self, call: DeviceCall) -> Response:
        """PATCH /device.

        Raises:
            InvalidInputError: `next-key-request`, and as `announce_next_key`.
            RefusedError, UnavailableError: as `announce_next_key` and `Store.write`.
        """
        try:
            pem = msgspec.json.decode(call.request.body, type=_Announcement).next_pubkey
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise InvalidInputError(
                "next-key-request", 'The body must be {"next_pubkey": "<PEM PUBLIC KEY>"}; nothing was changed.'
            ) from exc
        await self._store.write(lambda uow: announce_next_key(uow, call.device, pem, now=call.now))
        return Response(200, b"{}\n", b"application/json")
