"""One request of a known device, and its answer."""

from collections.abc import Awaitable
from datetime import datetime
from typing import TypeAlias

import msgspec

from ownroot.gateway.application import Peer
from ownroot.gateway.http_parser import Request
from ownroot.gateway.responses import Response
from ownroot.gateway.standing import CheckInValues
from ownroot.services.read_gateway_trust import FactoryTrust, SharedConfigTimes
from ownroot.services.records import Device, Factory

Answer: TypeAlias = Response | Awaitable[Response]


class DeviceCall(msgspec.Struct, frozen=True):
    """What an endpoint is given.

    Attributes:
        trust: what the factory's gateway knew when it let the device in.
        device: as stored when it was last looked up.
        values: tags, target, OSTree hash and apps as of this very request, which may be newer than `device`.
        shared_config: of the factory, as this process knows it.
        now: aware UTC, whole seconds.
        peer: the certificate that was shown and where it was shown from.
    """

    trust: FactoryTrust
    device: Device
    values: CheckInValues
    request: Request
    now: datetime
    shared_config: SharedConfigTimes
    peer: Peer

    @property
    def factory(self) -> Factory:
        """The device's factory."""
        return self.trust.factory
