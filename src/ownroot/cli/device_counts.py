"""How many devices each device CA has, how many certificates it issued, how many devices are held for review."""

from collections.abc import Iterable, Mapping

from ownroot.cli.devices_standing_run import find_left_handshakes
from ownroot.cli.pki_view import Entry
from ownroot.client.api import Api
from ownroot.client.device_query import DeviceQuery
from ownroot.errors import NotFoundError, RefusedError
from ownroot.wire.refusals import RefusalObject


def count_devices(api: Api, device_cas: Iterable[Entry]) -> Mapping[str, int] | None:
    """Return the number of live devices by the CA's serial: those whose certificate accepted last it signed.

    One cheap request per CA. None if this token may not list devices.
    """
    try:
        return {ca.serial: api.devices(DeviceQuery(ca_serial=ca.serial, limit=1)).total for ca in device_cas}
    except RefusedError:
        return None


def count_issued(api: Api) -> Mapping[str, int]:
    """Return the number of certificates by the CA's serial, for those CAs of which the server knows it.

    It knows it of the CAs whose key it holds or held; what a local CA signed only its holder knows.
    """
    health = api.pki_health()
    return {} if health is None else {count.serial: count.issued for count in health.issued}


def ask_left_handshakes(api: Api) -> RefusalObject | None:
    """Return the record of devices that trust another root, if any; None as well if this token may not list devices."""
    try:
        return find_left_handshakes(api)
    except (RefusedError, NotFoundError):
        return None


def count_suspected(api: Api) -> int | None:
    """Return the number of devices whose key may be copied; None if this token may not list devices.

    An older server ignores what it is asked here and answers with all of its devices, without a suspicion.
    """
    try:
        page = api.devices(DeviceQuery(suspected=True, limit=1))
    except RefusedError:
        return None
    return page.total if any(device.suspicion is not None for device in page.devices) else 0


def count_held(api: Api) -> int | None:
    """Return the number of held devices; None if this token may not list devices, or an older server answers."""
    try:
        return api.held_devices(limit=1).total
    except (RefusedError, NotFoundError):
        return None
