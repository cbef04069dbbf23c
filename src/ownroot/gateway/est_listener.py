"""What a listener for EST alone serves: the gateway's own application, of which every path but EST's is left out."""

from collections.abc import Awaitable

from ownroot.gateway.application import Application, ConnectionControl, Peer, S
from ownroot.gateway.http_parser import Request
from ownroot.gateway.responses import Response
from ownroot.wire.est import BASE_PATH

_NOTHING = Response(404, b"only certificate renewal (EST) is served here\n")


class EstListener(Application[S]):
    """Hands EST to the application behind it, and answers 404 to everything else before anybody is looked up."""

    def __init__(self, application: Application[S]) -> None:
        self._application = application

    def connected(self, connection: ConnectionControl, peer: Peer) -> S:
        return self._application.connected(connection, peer)

    def body_bytes(self, session: S, path: str) -> int | None:
        return self._application.body_bytes(session, path) if _is_est(path) else None

    def handle(self, session: S, request: Request) -> Response | Awaitable[Response]:
        return self._application.handle(session, request) if _is_est(request.path) else _NOTHING

    def disconnected(self, session: S) -> None:
        self._application.disconnected(session)

    def alerted(self, peer_address: str, site_key: int | None, alert: str) -> None:
        self._application.alerted(peer_address, site_key, alert)


def _is_est(path: str) -> bool:
    return path.startswith(BASE_PATH + "/")
