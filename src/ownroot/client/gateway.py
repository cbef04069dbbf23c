"""The device gateway over mutual TLS, as a device sees it (protocol: gateway.md §2)."""

from collections.abc import Mapping
from pathlib import Path

from ownroot.client.addresses import parse_base_url
from ownroot.client.closing import ClosedOnExit
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
        cert_file: the device certificate, alone or followed by its CA, PEM.
        key_file: its private key, PEM.
    Raises:
        InvalidInputError: `bad-url` (https only), `bad-cacert`.
        KeyStoreError: `device-key-unusable`.
    """

    def __init__(
        self,
        server_url: str,
        ca_file: Path,
        cert_file: Path,
        key_file: Path,
        *,
        limits: ExchangeLimits | None = None,
    ) -> None:
        url = parse_base_url(server_url)
        if not url.startswith("https://"):
            raise InvalidInputError("bad-url", f"A gateway is reached by https:// only, not by {server_url}.")
        tls = gateway_trust(ca_file, cert_file, key_file)
        self._transport = Transport(url, tls=tls, limits=limits or ExchangeLimits())

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
            OwnrootError: as `Transport.exchange`.
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
