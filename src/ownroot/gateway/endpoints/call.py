"""One request of a known device."""

from datetime import datetime

import msgspec

from ownroot.gateway.http_parser import Request
from ownroot.gateway.standing import CheckInValues
from ownroot.services.records import Device, Factory


class DeviceCall(msgspec.Struct, frozen=True):
    """What an endpoint is given.

    Attributes:
        device: as stored when it was last looked up.
        values: tags, target, OSTree hash and apps as of this very request, which may be newer than `device`.
        now: aware UTC, whole seconds.
    """

    factory: Factory
    device: Device
    values: CheckInValues
    request: Request
    now: datetime
