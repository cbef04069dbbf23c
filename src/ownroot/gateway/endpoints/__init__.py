"""Everything a device can ask of the gateway, on one screen.

Whoever gets here is a known device of the factory its connection chose. What is not listed is answered 404, a listed
path with another method 405. Certificate renewal and configuration belong together (protocol: gateway.md §7.3):
none of their paths is offered before all of them are.
"""

from collections.abc import Callable, Mapping

from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.endpoints.device import show_device
from ownroot.gateway.endpoints.ostree import name_no_other_server
from ownroot.gateway.responses import Response

Handler = Callable[[DeviceCall], Response]

ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/device": {"GET": show_device},
    "/ostree/download-urls": {"POST": name_no_other_server},
}


def dispatch(call: DeviceCall) -> Response:
    """Answer one request of a known device."""
    methods = ROUTES.get(call.request.path)
    if methods is None:
        return Response(404, b"there is nothing at this path\n")
    handler = methods.get("GET" if call.request.method == "HEAD" else call.request.method)
    if handler is None:
        allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
        return Response(405, b"this path knows other methods\n", headers=((b"Allow", allowed.encode("ascii")),))
    return handler(call)
