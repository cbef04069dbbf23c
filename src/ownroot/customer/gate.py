"""Who is this device, and is it welcome? The gateway's own rules, on what the status feed says.

Finding a certificate's issuer costs a signature check, so it is done once per certificate and trust; the device's own
standing is two look-ups and is asked on every request.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock

from ownroot.clock import utc_now
from ownroot.customer.fleet import Fleet
from ownroot.customer.follower import StatusFollower
from ownroot.errors import RefusedError, UnauthenticatedError, UnavailableError
from ownroot.pki.encoding import sha256
from ownroot.trust.admission import FirstContact, Refuse, admit
from ownroot.trust.device_identity import GatewayTrust, Identified, NotTrusted, identify
from ownroot.trust.state import Standing

_CACHED = 10_000
_RETRY_SECONDS = 15


class DeviceStanding(StrEnum):
    """How a device that is let in stands."""

    KNOWN = "known"
    CA_DISABLED = "ca-disabled"  # known, and its CA admits no others; it will have to move to another CA
    NEW = "new"  # the factory has not seen it yet


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """A device whose certificate and standing were verified for this request."""

    uuid: str
    factory: str
    production: bool
    issuer_serial: int
    spki_sha256: bytes
    standing: DeviceStanding


class DeviceGate:
    """Lets devices in.

    Args:
        admit_new: let in what a device CA vouches for and the factory has not seen yet. Off, because such a device may
            be one that was deleted with the data of a restore, which the gateway holds for review.
        grace_seconds: how long past its end the last feed still counts; each second is one in which a deleted device
            may go on while the backend is away.
    """

    def __init__(
        self,
        follower: StatusFollower,
        *,
        admit_new: bool = False,
        grace_seconds: int = 0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._follower = follower
        self._admit_new = admit_new
        self._grace = timedelta(seconds=grace_seconds)
        self._now = now
        self._identified: OrderedDict[bytes, tuple[GatewayTrust, Identified]] = OrderedDict()
        self._lock = Lock()

    def require_device(self, certificate_der: bytes | None) -> DeviceIdentity:
        """Return whose certificate this is. TLS, here or at a front, has proven the key.

        Raises:
            UnauthenticatedError: `client-certificate-missing`.
            RefusedError: as the gateway's codes; `device-not-known`.
            UnavailableError: `status-feed-missing`, `status-feed-expired`.
        """
        if certificate_der is None:
            raise UnauthenticatedError("client-certificate-missing", "No client certificate; devices need theirs.")
        now = self._now()
        fleet = self._fresh(now)
        identified = self._identify(certificate_der, fleet.trust, now)
        return self._admit(identified, fleet)

    def _fresh(self, now: datetime) -> Fleet:
        fleet = self._follower.fleet
        if fleet is None:
            raise UnavailableError(
                "status-feed-missing", "The status of devices is not known yet.", retry_after=_RETRY_SECONDS
            )
        by_ticks = self._follower.seconds_past_end > self._grace.total_seconds()
        if by_ticks or fleet.expires_at + self._grace < now:
            raise UnavailableError(
                "status-feed-expired",
                f"The status of devices was last known until {fleet.expires_at:%Y-%m-%d %H:%M:%S} UTC. Nobody is let "
                "in before the backend answers again.",
                retry_after=_RETRY_SECONDS,
            )
        return fleet

    def _identify(self, der: bytes, trust: GatewayTrust, now: datetime) -> Identified:
        key = sha256(der)
        with self._lock:
            cached = self._identified.get(key)
        if cached is not None and cached[0] is trust and now <= cached[1].decision_expires_at:
            return cached[1]
        identified = identify(der, trust, now)
        if isinstance(identified, NotTrusted):
            raise RefusedError(identified.code, identified.detail)
        # Refusals are not kept: strangers can mint certificates for ever.
        with self._lock:
            self._identified[key] = (trust, identified)
            if len(self._identified) > _CACHED:
                self._identified.popitem(last=False)
        return identified

    def _admit(self, identified: Identified, fleet: Fleet) -> DeviceIdentity:
        uuid, ca = identified.uuid, identified.issuer
        admission = admit(
            identified,
            fleet.find(uuid),
            denied=fleet.is_denied(uuid),
            case_twin=fleet.has_case_twin(uuid),
            ca_standing=ca.standing,
        )
        if isinstance(admission, Refuse):
            raise RefusedError(admission.code, admission.detail)
        if isinstance(admission, FirstContact) and not self._admit_new:
            raise RefusedError(
                "device-not-known",
                f"Device {uuid} is not known to factory {identified.factory} yet. Let it check in at the gateway.",
            )
        disabled = DeviceStanding.CA_DISABLED if ca.standing is Standing.DISABLED else DeviceStanding.KNOWN
        return DeviceIdentity(
            uuid=uuid,
            factory=identified.factory,
            production=identified.production,
            issuer_serial=ca.serial,
            spki_sha256=identified.spki_sha256,
            standing=DeviceStanding.NEW if isinstance(admission, FirstContact) else disabled,
        )
