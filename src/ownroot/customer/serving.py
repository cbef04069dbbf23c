"""A small HTTPS server for a WSGI application that devices reach without a front. One thread per connection.

The standard library's TLS accepts only certificates it can verify. So the device CAs, revoked ones included, are its
anchors (never the root, see gateway.md T4), and what a device of a revoked CA hears is the gate's answer. It cannot
serve devices without an authority key identifier where several CAs share one subject; such a fleet needs a front.
"""

import ssl
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ownroot.customer.follower import StatusFollower
from ownroot.customer.wsgi import PEER_CERTIFICATE
from ownroot.errors import KeyStoreError
from ownroot.pki.anchors import synthetic_anchors
from ownroot.pki.encoding import certificate_pem
from ownroot.trust.device_identity import GatewayTrust

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_SILENCE_SECONDS = 10.0


class DeviceServer(ThreadingMixIn, WSGIServer):
    """Serves an application (wrapped in `WsgiDevices`) over mutual TLS.

    Args:
        certificate: chain and key (PEM) that `ownroot keys ca sign` and the owner of the key made.
    """

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        application: "WSGIApplication",
        follower: StatusFollower,
        certificate: tuple[Path, Path],
    ) -> None:
        self._follower = follower
        self._certificate = certificate
        self._made: tuple[GatewayTrust | None, ssl.SSLContext] | None = None
        self._context()  # a certificate that cannot be used ends the start, not the first connection
        super().__init__(address, _Handler)
        self.set_app(application)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, so that a slow peer holds up nobody."""
        request.settimeout(_SILENCE_SECONDS)
        try:
            secured = self._context().wrap_socket(request, server_side=True)
        except OSError:
            return  # not TLS, a certificate that does not verify, or nothing in time
        with secured:
            super().finish_request(secured, client_address)

    def _context(self) -> ssl.SSLContext:
        """Return the TLS settings for the device CAs of now."""
        fleet = self._follower.fleet
        trust = None if fleet is None else fleet.trust
        if self._made is None or self._made[0] is not trust:
            self._made = (trust, _make_context(trust, *self._certificate))
        return self._made[1]


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        environ["wsgi.url_scheme"] = "https"
        environ[PEER_CERTIFICATE] = self.request.getpeercert(binary_form=True)
        return environ

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
        """Print nothing; the application logs."""


def _make_context(trust: GatewayTrust | None, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would show a certificate without proof of its key.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    if trust is not None:
        context.load_verify_locations(cadata=_anchors(trust))
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as exc:
        raise KeyStoreError("server-key-unusable", f"{certificate} and {key} cannot be used together: {exc}.") from exc
    return context


def _anchors(trust: GatewayTrust) -> str:
    cas = [ca.certificate for ca in trust.device_cas]
    cas += [ca.certificate for ca in trust.revoked_cas if ca.certificate is not None]
    return "".join(certificate_pem(anchor) for ca in cas for anchor in synthetic_anchors(ca))
