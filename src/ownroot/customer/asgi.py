"""ASGI: `scope["device"]` holds the `DeviceIdentity` of a request that reaches the application.

The certificate is a front's header, or what the server itself puts into the TLS extension
(`scope["extensions"]["tls"]["client_cert_chain"]`, ASGI TLS extension). uvicorn has no such thing and needs a front.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ownroot.customer.gate import DeviceGate
from ownroot.customer.peer import NO_FRONT, Front, read_front_header, refusal
from ownroot.errors import OwnrootError
from ownroot.pki.encoding import certificate_der, parse_certificate

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLOSED_BY_POLICY = 1008  # RFC 6455 §7.4.1


class AsgiDevices:
    """Wraps an application: requests and web sockets of others than welcome devices do not reach it."""

    def __init__(self, application: Application, gate: DeviceGate, *, front: Front = NO_FRONT) -> None:
        self._application = application
        self._gate = gate
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        try:
            device = self._gate.require_device(self._certificate(scope))
        except OwnrootError as error:
            await _refuse(scope, error, send)
            return
        kept = [(name, value) for name, value in scope["headers"] if not self._front.names(name.decode("latin-1"))]
        await self._application({**scope, "headers": kept, "device": device}, receive, send)

    def _certificate(self, scope: Scope) -> bytes | None:
        """Return what this request came with. A header of somebody who is no front is not looked at."""
        peer = scope.get("client")
        if self._front.is_from(peer[0] if peer else None):
            named = [v.decode("latin-1") for n, v in scope["headers"] if self._front.names(n.decode("latin-1"))]
            return read_front_header(named)
        chain = (scope.get("extensions") or {}).get("tls", {}).get("client_cert_chain") or ()
        leaf = next(iter(chain), None)
        return None if leaf is None else certificate_der(parse_certificate(leaf))


async def _refuse(scope: Scope, error: OwnrootError, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _CLOSED_BY_POLICY, "reason": error.code})
        return
    status, headers, body = refusal(error)
    octets = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": octets})
    await send({"type": "http.response.body", "body": body})
