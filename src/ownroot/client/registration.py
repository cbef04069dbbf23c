"""The registration endpoint, as a device sees it: the backend's or that of a manufacturing site.

Source: registration.md §2-4. The URL is used verbatim; it may be any path (`/ota/devices/`, `/sign`).
"""

from pathlib import Path
from urllib.parse import urlsplit

from ownroot.client.access import TOKEN_HEADER, require_token
from ownroot.client.addresses import parse_base_url, require_confidential
from ownroot.client.closing import ClosedOnExit
from ownroot.client.refusals import error_of
from ownroot.client.tls import api_trust
from ownroot.client.transport import Transport

_CREATED = 201


class RegistrationEndpoint(ClosedOnExit):
    """Where devices are registered; many may be, over connections kept alive. Owns its sockets; close it.

    Args:
        url: the endpoint itself, final slash included.
        token: None: the endpoint wants none (a station on an isolated network).
        cacert: PEM of roots to believe besides the system's.
    Raises:
        InvalidInputError: `bad-url`, `bad-cacert`.
        RefusedError: `token-in-clear`.
    """

    def __init__(
        self, url: str, *, token: str | None = None, token_header: str = TOKEN_HEADER, cacert: Path | None = None
    ) -> None:
        parse_base_url(url)
        parts = urlsplit(url.strip())
        self._path = parts.path or "/"
        headers = {"Content-Type": "application/json"}
        if token is not None:
            require_confidential(url)
            headers[token_header] = require_token(token)
        self._transport = Transport(f"{parts.scheme}://{parts.netloc}", tls=api_trust(cacert), headers=headers)

    def register(self, body: bytes) -> bytes:
        """Send one registration and return the body of the 201 answer.

        Raises:
            OwnrootError: what `Transport.exchange` and `error_of` say.
        """
        answer = self._transport.exchange("POST", self._path, body=body)
        if answer.status != _CREATED:
            raise error_of(answer)
        return answer.body

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()
