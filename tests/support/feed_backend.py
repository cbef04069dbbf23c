"""A backend's status feed made by hand, so that each test can spoil one detail of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.customer.feed import FeedPin
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
from tests.support.certificates import NOW, Pair, device_ca, factory_root, gateway_tls

NAME = "gw.example.com"
FACTORY = "acme"


@dataclass(slots=True)
class FeedBackend:
    """Implements `customer.follower.FeedSource`. What it holds is what it says next."""

    now: datetime = NOW
    root: Pair = field(default_factory=lambda: factory_root(FACTORY, now=NOW))
    tls: Pair = field(init=False)
    ca: Pair = field(init=False)
    standing: str = "enabled"
    generation: int = 1
    factory: str = FACTORY
    devices: tuple[FeedDevice, ...] = ()
    remembers: bool = True

    def __post_init__(self) -> None:
        self.tls = gateway_tls(self.root, FACTORY, now=NOW, dns_names=[NAME, f"ostree.{NAME}"])
        self.ca = device_ca(self.root, factory=FACTORY, now=NOW)

    @property
    def pin(self) -> FeedPin:
        return FeedPin(self.root.certificate, FACTORY, NAME)

    def feed(self, *, since: int | None = None, after: str | None = None) -> StatusFeed:
        """Return a payload."""
        return StatusFeed(
            format=FORMAT,
            factory=self.factory,
            generation=self.generation,
            issued_at=int(self.now.timestamp()),
            expires_at=int((self.now + timedelta(minutes=10)).timestamp()),
            device_cas=(FeedCa(certificate=self.ca.pem, standing=self.standing),),  # type: ignore[arg-type]
            devices=self.devices,
            since=since if self.remembers else None,
            after=after,
        )

    def sign(self, feed: StatusFeed, *, context: bool = True) -> SignedFeed:
        """Sign one with the gateway's key; without our context it is a signature for something else."""
        payload = write_feed(feed)
        octets = signed_octets(payload) if context else payload
        signature = self.tls.ec_key.sign(octets, ec.ECDSA(hashes.SHA256()))
        return SignedFeed(payload=encode_base64(payload), signature=encode_base64(signature), certificate=self.tls.pem)

    def status_feed(self, *, since: int | None = None, after: str | None = None) -> SignedFeed:
        """Answer as the backend does."""
        return self.sign(self.feed(since=since, after=after))
