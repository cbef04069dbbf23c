"""The device gateway over mutual TLS, as a device sees it (protocol: gateway.md §2)."""

from collections.abc import Mapping
from pathlib import Path

from ownroot.client.addresses import parse_base_url
from ownroot.client.closing import ClosedOnExit
from ownroot.client.credentials import Credentials, FileCredentials
from ownroot.client.curl import CurlTransport
from ownroot.client.refusals import error_of
from ownroot.client.tls import gateway_trust
from ownroot.client.transport import Answer, ExchangeLimits, Transport
from ownroot.errors import InvalidInputError


class GatewayClient(ClosedOnExit):
    """One device's connection, kept alive between requests. Owns its sockets; close it or use it in a `with`.

    Args:
        server_url: `tls.server` of sota.toml, such as `https://gateway.localhost:8443`. Names under `.localhost` go to
            loopback with their own SNI and Host.
        ca_file: the pinned factory root(s), PEM. Nothing else is believed, the system's roots neither.
        credentials: the device certificate and its key. With those on a token each request is a connection of its own.
    Raises:
        InvalidInputError: `bad-url` (https only), `bad-cacert`.
        KeyStoreError: `device-key-unusable`; on a token it shows at the first request.
    """

    def __init__(
        self,
        server_url: str,
        ca_file: Path,
        credentials: Credentials,
        *,
        limits: ExchangeLimits | None = None,
    ) -> None:
        url = parse_base_url(server_url)
        if not url.startswith("https://"):
            raise InvalidInputError("bad-url", f"A gateway is reached by https:// only, not by {server_url}.")
        limits = limits or ExchangeLimits()
        self._transport: Transport | CurlTransport
        if isinstance(credentials, FileCredentials):
            tls = gateway_trust(ca_file, credentials.certificate, credentials.key)
            self._transport = Transport(url, tls=tls, limits=limits)
        else:
            self._transport = CurlTransport(url, ca_file, credentials, limits)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        answer_bytes: int | None = None,
    ) -> Answer:
        """Send one request; the answer is returned whatever its status. `answer_bytes` bounds this one answer.

        Raises:
            OwnrootError: as `Transport.exchange`, or as `CurlTransport.exchange` with a key on a token.
        """
        return self._transport.exchange(method, path, body=body, headers=headers, answer_bytes=answer_bytes)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET that must succeed (2xx).

        Raises:
            RefusedError: the gateway refuses this device; the detail is the gateway's reason.
            OwnrootError: as `Transport.exchange` and `error_of`.
        """
        answer = self.request("GET", path, headers=headers)
        if not 200 <= answer.status < 300:
            raise error_of(answer)
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()
