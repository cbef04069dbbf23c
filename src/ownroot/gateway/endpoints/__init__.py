"""Everything a device can ask of the gateway, on one screen.

Whoever gets here is a known device of the factory its connection chose. What is not listed is answered 404, a listed
path with another method 405. Certificate renewal and configuration belong together (protocol: gateway.md §7.3):
none of their paths is offered before all of them are.
"""

import time
from collections.abc import Mapping

from ownroot.gateway.device_pace import CHANGES, DevicePace
from ownroot.gateway.endpoints.call import Answer, DeviceCall
from ownroot.gateway.endpoints.config import ConfigEndpoints
from ownroot.gateway.endpoints.device import show_device
from ownroot.gateway.endpoints.est import ENROLMENT_PATHS, Renewals
from ownroot.gateway.endpoints.next_key import NextKeyEndpoint
from ownroot.gateway.endpoints.ostree import name_no_other_server
from ownroot.gateway.endpoints.reports import ReportEndpoints
from ownroot.gateway.endpoints.repository import RepositoryEndpoints
from ownroot.gateway.endpoints.routes import Route, RouteTable, paced
from ownroot.gateway.endpoints.tests import DeviceTestEndpoints
from ownroot.gateway.responses import Response
from ownroot.gateway.store import Store


def _routes(store: Store, config: ConfigEndpoints, renewals: Renewals, report_quota_bytes: int) -> Mapping[str, Route]:
    changes = DevicePace(CHANGES, time.monotonic)
    return {
        "/device": Route({"GET": show_device, "PATCH": paced(NextKeyEndpoint(store).announce, changes)}),
        **config.routes(changes),
        **{path: Route({"POST": renewals.enrol}) for path in ENROLMENT_PATHS},
        "/ostree/download-urls": Route({"POST": name_no_other_server}),
        **ReportEndpoints(store).routes(),
        **DeviceTestEndpoints(store, quota_bytes=report_quota_bytes).routes(),
        **RepositoryEndpoints(store).routes(),
    }


class DeviceEndpoints:
    """Answers the requests of known devices."""

    def __init__(self, store: Store, config: ConfigEndpoints, renewals: Renewals, *, report_quota_bytes: int) -> None:
        self._table = RouteTable(_routes(store, config, renewals, report_quota_bytes))

    def body_bytes(self, path: str) -> int | None:
        """How long a body this path takes; None: no longer than any other."""
        found = self._table.find(path)
        return None if found is None else found.route.body_bytes

    def answer(self, call: DeviceCall) -> Answer:
        """Answer one request.

        Raises, at once or when it is awaited:
            OwnrootError: what the handler cannot do, for the edge to word.
        """
        found = self._table.find(call.request.path)
        if found is None:
            return Response(404, b"there is nothing at this path\n")
        methods = found.route.methods
        handler = methods.get("GET" if call.request.method == "HEAD" else call.request.method)
        if handler is None:
            allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            return Response(405, b"this path knows other methods\n", headers=((b"Allow", allowed.encode("ascii")),))
        return handler(call, *found.segments)
