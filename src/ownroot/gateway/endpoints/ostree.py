"""OSTree delivery, as far as it exists."""

from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.responses import Response


def name_no_other_server(_call: DeviceCall) -> Response:
    """POST /ostree/download-urls: 204 tells a device to fetch from this gateway alone (gateway.md §6)."""
    return Response(204)
