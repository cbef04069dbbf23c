"""Addresses of servers: what a base URL may look like, and which hosts are this very machine."""

import ipaddress
from urllib.parse import quote, urlsplit

from ownroot.errors import InvalidInputError, RefusedError

LOOPBACK = "127.0.0.1"
_LOCALHOST = "localhost"


def parse_base_url(text: str) -> str:
    """Return the URL without the slash at its end; a path prefix is kept.

    Raises:
        InvalidInputError: `bad-url`.
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as exc:
        raise InvalidInputError("bad-url", f"{text!r} is not a URL: {exc}.") from exc
    if parts.query or parts.fragment:
        raise InvalidInputError("bad-url", f"{text!r} has a part after ? or #, which an address here must not have.")
    if parts.scheme not in ("http", "https") or not host or parts.username:
        raise InvalidInputError(
            "bad-url", f"{text!r} is not the address of a server; it looks like https://host or http://127.0.0.1:8000."
        )
    if any(character.isspace() or not character.isprintable() for character in url):
        raise InvalidInputError("bad-url", f"{text!r} is not a URL: it holds blanks or control characters.")
    return url.rstrip("/")


def is_under_localhost(host: str) -> bool:
    """Whether the name means this machine whatever a name server says (RFC 6761 §6.3)."""
    name = host.lower().rstrip(".")
    return name == _LOCALHOST or name.endswith("." + _LOCALHOST)


def is_loopback(host: str) -> bool:
    """Whether nothing sent to this host leaves the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return is_under_localhost(host)


def require_confidential(url: str) -> None:
    """Refuse to send a secret in clear over a network.

    Raises:
        RefusedError: `token-in-clear`.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise RefusedError(
            "token-in-clear", f"{url} is plain HTTP beyond this machine; a token sent there can be read on the way."
        )


def path_segment(name: str) -> str:
    """Escape a name for use as one segment of a path.

    Raises:
        InvalidInputError: `bad-name`; the path would become another one.
    """
    if name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise InvalidInputError(
            "bad-name",
            f"{name[:80]!r} is not a name: names are not empty, not `.` or `..`, hold no slash, and are printable.",
        )
    return quote(name, safe="")


def path_segments(name: str) -> str:
    """Escape a name that may hold slashes, for use as so many segments. Raises as `path_segment`."""
    return "/".join(path_segment(part) for part in name.split("/"))
