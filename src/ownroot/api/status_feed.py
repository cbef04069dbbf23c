"""`GET /ota/factories/{factory}/status-feed/`: who is welcome, signed for the customer's own API. Ours (docs/wire)."""

from typing import Annotated, Final

import msgspec
from starlette.concurrency import run_in_threadpool

from ownroot.api.backend import Backend
from ownroot.pki.encoding import certificate_pem
from ownroot.services.authority import Principal
from ownroot.services.read_status_feed import CaStatus, DeviceStatus, StatusPage, read_status, sign_status
from ownroot.services.scopes import Scope
from ownroot.web.endpoint import Access, Call, Endpoint, Reply
from ownroot.wire.status_feed import (
    FORMAT,
    FeedCa,
    FeedDevice,
    SignedFeed,
    StatusFeed,
    encode_base64,
    signed_octets,
    write_feed,
)

# Long enough to survive a restart of the server; an answer that is held back misleads nobody for longer than this.
VALID_SECONDS: Final = 600


class _FeedQuery(msgspec.Struct, frozen=True):
    """`since`: the generation of an earlier answer. `after`: the `next` of the page before."""

    since: Annotated[int, msgspec.Meta(ge=0)] | None = None
    after: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class StatusFeedPage:
    """Handler of the feed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def read(self, call: Call[Principal]) -> Reply:
        """Read, then sign: no transaction waits for a key."""
        factory, query = call.caller.factory, call.query
        page = await self._backend.read(lambda uow: read_status(uow, factory, since=query.since, after=query.after))
        now = int(call.now.timestamp())
        feed = StatusFeed(
            format=FORMAT,
            factory=factory.name,
            generation=page.generation,
            issued_at=now,
            expires_at=now + VALID_SECONDS,
            device_cas=tuple(map(_ca, page.device_cas)),
            devices=tuple(map(_device, page.devices)),
            since=page.since,
            after=query.after,
            next=page.next,
        )
        return Reply(body=await run_in_threadpool(self._sign, page, write_feed(feed)))

    def _sign(self, page: StatusPage, payload: bytes) -> SignedFeed:
        signature = sign_status(page.signer, signed_octets(payload), self._backend.keyring)
        return SignedFeed(
            payload=encode_base64(payload),
            signature=encode_base64(signature),
            certificate=certificate_pem(page.signer.certificate),
        )


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare it."""
    return (
        Endpoint(
            method="GET",
            path="/ota/factories/{factory}/status-feed/",
            handler=StatusFeedPage(backend).read,
            access=Access(scopes=(Scope.DEVICES_READ.value,)),
            summary="How device CAs and devices stand, signed with the gateway's key: a snapshot, or what came since.",
            query=_FeedQuery,
            replies={200: SignedFeed},
        ),
    )


def _ca(ca: CaStatus) -> FeedCa:
    at = 0 if ca.revoked_at is None else int(ca.revoked_at.timestamp())
    return FeedCa(certificate=certificate_pem(ca.certificate), standing=ca.standing, changed_at=at)


def _device(status: DeviceStatus) -> FeedDevice:
    pin = status.pin
    if pin is None:
        return FeedDevice(uuid=status.uuid, state=status.state.value)
    following = pin.next_spki_sha256
    return FeedDevice(
        uuid=status.uuid,
        state=status.state.value,
        key=pin.spki_sha256.hex(),
        next_key=None if following is None else following.hex(),
    )
