"""WSGI: `environ["ownroot.device"]` holds the `DeviceIdentity` of a request that reaches the application.

The certificate is a front's header, or DER in `environ["ownroot.peer_certificate"]`, which `customer.serving` puts
there; no client can, since what a client sends begins with `HTTP_`. WSGI folds `-` and `_`, so a client's second
spelling arrives under the same key: the front must drop it (nginx does), and two values at once are refused.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ownroot.customer.gate import DeviceGate
from ownroot.customer.peer import NO_FRONT, Front, read_front_header, refusal
from ownroot.errors import OwnrootError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

PEER_CERTIFICATE = "ownroot.peer_certificate"
DEVICE = "ownroot.device"


class WsgiDevices:
    """Wraps an application: requests of others than welcome devices do not reach it."""

    def __init__(self, application: "WSGIApplication", gate: DeviceGate, *, front: Front = NO_FRONT) -> None:
        self._application = application
        self._gate = gate
        self._front = front
        self._key = "HTTP_" + front.header.upper().replace("-", "_")

    def __call__(self, environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        """Serve one request."""
        try:
            environ[DEVICE] = self._gate.require_device(self._certificate(environ))
        except OwnrootError as error:
            status, headers, body = refusal(error)
            start_response(f"{status} {HTTPStatus(status).phrase}", headers)
            return [body]
        environ.pop(self._key, None)
        return self._application(environ, start_response)

    def _certificate(self, environ: dict[str, Any]) -> bytes | None:
        if self._front.is_from(environ.get("REMOTE_ADDR")):
            value = environ.get(self._key)
            return read_front_header([] if value is None else [value])
        der = environ.get(PEER_CERTIFICATE)
        return der if isinstance(der, bytes) else None
