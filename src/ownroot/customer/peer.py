"""Certificates that a front passes on in a header, and from whom such a header counts.

Two forms are read: URL-escaped PEM (nginx, `$ssl_client_escaped_cert`) and `:base64 of DER:` (RFC 9440, HAProxy).
A header proves nothing by itself; it counts because of who sent it.
"""

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import unquote

from ownroot.errors import InvalidInputError, OwnrootError, RefusedError, UnauthenticatedError, UnavailableError
from ownroot.pki.encoding import certificate_der, parse_certificate
from ownroot.wire.documents import write_document
from ownroot.wire.errors import error_body

_Network: TypeAlias = IPv4Network | IPv6Network

# A certificate of a device has less than 2 KiB; escaping can triple it.
_MAX_CHARACTERS = 16 * 1024
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Front:
    """Who may say whose certificate a request comes with.

    Attributes:
        networks: addresses of fronts. Everybody in them can be any device.
        unix_socket: a peer without an address counts as a front; the socket's mode says who that can be.
        header: name in lower case.
    """

    networks: tuple[_Network, ...] = ()
    unix_socket: bool = False
    header: str = "x-device-certificate"

    @classmethod
    def at(cls, *addresses: str, unix_socket: bool = False) -> "Front":
        """Name fronts by address or network.

        Raises:
            InvalidInputError: `front-address`.
        """
        try:
            return cls(tuple(ip_network(address) for address in addresses), unix_socket=unix_socket)
        except ValueError as exc:
            raise InvalidInputError("front-address", f"Not an address or network of a front: {exc}.") from exc

    def is_from(self, address: str | None) -> bool:
        """Say whether a peer is a front; None or empty: it came by a socket without addresses."""
        if not address:
            return self.unix_socket
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped  # how a socket that listens for both families writes it
        return any(peer in network for network in self.networks)

    def names(self, header: str) -> bool:
        """Is this our header, in any spelling that some server or framework folds into it?"""
        return header.lower().replace("_", "-") == self.header


NO_FRONT = Front()
"""No header counts."""


def read_front_header(values: list[str]) -> bytes | None:
    """Return the certificate (DER) in what a front sent under our header; None: the device showed none.

    Raises:
        RefusedError: `front-header-repeated`: the front does not remove what clients send.
        InvalidInputError: `front-header`; or it is no certificate.
    """
    if len(values) > 1 or any("," in value for value in values):
        raise RefusedError("front-header-repeated", "The front sent the device's certificate twice, or a client did.")
    text = values[0].strip() if values else ""
    if not text:
        return None
    if len(text) > _MAX_CHARACTERS:
        raise InvalidInputError("front-header", "The front's header is longer than any device certificate.")
    return _decode(text)


# A device comes again with the same text, and reading PEM costs more than all the rest of a request.
@lru_cache(maxsize=_REMEMBERED)
def _decode(text: str) -> bytes | None:
    if not text.startswith(":"):
        return certificate_der(parse_certificate(unquote(text)))
    try:
        return base64.b64decode(text.strip(":"), validate=True) or None
    except binascii.Error as exc:
        raise InvalidInputError("front-header", "The front's header is not base64.") from exc


def refusal(error: OwnrootError) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of a refusal, in the form of the backend's own."""
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if isinstance(error, UnavailableError):
        headers.append(("Retry-After", str(error.retry_after)))
    status = 503 if isinstance(error, UnavailableError) else 401 if isinstance(error, UnauthenticatedError) else 403
    return status, headers, write_document(error_body(error))
