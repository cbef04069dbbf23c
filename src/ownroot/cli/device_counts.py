"""How many devices each device CA has: those whose certificate accepted last it signed. One cheap request per CA.

And how many are held for review after a restore.
"""

from collections.abc import Iterable, Mapping

from ownroot.cli.pki_view import Entry
from ownroot.client.api import Api, DeviceQuery
from ownroot.errors import NotFoundError, RefusedError


def count_devices(api: Api, device_cas: Iterable[Entry]) -> Mapping[str, int] | None:
    """Return the number of live devices by the CA's serial; None if this token may not list devices."""
    try:
        return {ca.serial: api.devices(DeviceQuery(ca_serial=ca.serial, limit=1)).total for ca in device_cas}
    except RefusedError:
        return None


def count_held(api: Api) -> int | None:
    """Return the number of held devices; None if this token may not list devices, or an older server answers."""
    try:
        return api.held_devices(limit=1).total
    except (RefusedError, NotFoundError):
        return None
