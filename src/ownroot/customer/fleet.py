"""What one process of the customer's API knows of the fleet, between two answers of the status feed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ownroot.errors import InvalidInputError
from ownroot.trust.admission import KnownDevice
from ownroot.trust.device_identity import GatewayTrust
from ownroot.wire.status_feed import FeedDevice, StatusFeed


@dataclass(slots=True)
class Fleet:
    """Device CAs and devices as of `generation`.

    One thread applies news while others look devices up; each look-up sees a device before or after, never between.

    Attributes:
        trust: a new object whenever a CA changed, so a decision made under it holds for as long as it is this one.
        issued_at: Unix seconds; a feed older than this one says nothing new.
    """

    trust: GatewayTrust
    generation: int
    issued_at: int
    expires_at: datetime
    _known: dict[str, tuple[str, KnownDevice]] = field(default_factory=dict)
    _denied: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, trust: GatewayTrust, feed: StatusFeed) -> "Fleet":
        """Begin with the first page of a snapshot."""
        fleet = cls(trust, feed.generation, feed.issued_at, _end(feed))
        fleet.learn(feed.devices)
        return fleet

    def apply(self, trust: GatewayTrust, feed: StatusFeed) -> None:
        """Take over an answer to `since=generation`."""
        self.learn(feed.devices)
        if trust != self.trust:
            self.trust = trust
        self.generation, self.issued_at, self.expires_at = feed.generation, feed.issued_at, _end(feed)

    def learn(self, devices: Iterable[FeedDevice]) -> None:
        """Take over entries.

        Raises:
            InvalidInputError: `status-feed-key`.
        """
        for device in devices:
            folded = device.uuid.lower()
            if device.state == "known":
                self._known[folded] = (device.uuid, _pins(device))
                self._denied.discard(device.uuid)
                continue
            if device.state == "denied":
                self._denied.add(device.uuid)
            else:
                self._denied.discard(device.uuid)
            if self._known.get(folded, ("",))[0] == device.uuid:
                del self._known[folded]

    def find(self, uuid: str) -> KnownDevice | None:
        """Return what is pinned for this very uuid."""
        entry = self._known.get(uuid.lower())
        return entry[1] if entry is not None and entry[0] == uuid else None

    def has_case_twin(self, uuid: str) -> bool:
        """Is another uuid known that differs in letter case alone?"""
        entry = self._known.get(uuid.lower())
        return entry is not None and entry[0] != uuid

    def is_denied(self, uuid: str) -> bool:
        """Was the device deleted?"""
        return uuid in self._denied


def _end(feed: StatusFeed) -> datetime:
    return datetime.fromtimestamp(feed.expires_at, UTC)


def _pins(device: FeedDevice) -> KnownDevice:
    try:
        following = None if device.next_key is None else bytes.fromhex(device.next_key)
        return KnownDevice(bytes.fromhex(device.key or ""), following)
    except ValueError as exc:
        raise InvalidInputError("status-feed-key", "The status feed holds a key hash that is not hex.") from exc
