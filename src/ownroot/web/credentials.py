"""Where a token may stand in a request (protocol: api.md §1.2, registration.md §3)."""

import base64
import binascii
from urllib.parse import unquote_plus

from starlette.datastructures import Headers

from ownroot.errors import UnauthenticatedError

TOKEN_HEADER = "osf-token"  # noqa: S105 - a header's name, not a secret
_MAX_TOKEN_CHARS = 4096


def read_credential(headers: Headers) -> str | None:
    """Return the token a request carries, or None. `OSF-TOKEN` wins over `Authorization`.

    Raises:
        UnauthenticatedError: `bad-authorization`: a header is there, but no token can be read from it.
    """
    token = headers.get(TOKEN_HEADER)
    if token is not None:
        return _checked(token.strip())
    authorization = headers.get("authorization")
    return None if authorization is None else _checked(_read_bearer(authorization))


def read_basic(authorization: str) -> tuple[str, str] | None:
    """Return client id and secret of HTTP Basic, percent-decoded (RFC 6749 §2.3.1); None if it is another scheme.

    Both are held to what a form may bring: printable, of bounded length, not empty.

    Raises:
        UnauthenticatedError: `bad-authorization`.
    """
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(value.strip(), validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError) as exc:
        raise UnauthenticatedError("bad-authorization", "The Authorization header cannot be read.") from exc
    if not colon:
        raise UnauthenticatedError("bad-authorization", "The Authorization header has no colon between id and secret.")
    return _checked(unquote_plus(name)), _checked(unquote_plus(secret))


def _read_bearer(authorization: str) -> str:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise UnauthenticatedError("bad-authorization", "The Authorization header must be: Bearer <token>.")
    return _decoded(value.strip())


def _decoded(value: str) -> str:
    """Existing clients send base64 of the token, scripts the token itself; only one of the two readings is text."""
    try:
        text = base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return value
    return text if text.isprintable() else value


def _checked(token: str) -> str:
    if not token or len(token) > _MAX_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise UnauthenticatedError("bad-authorization", "The secret in the request header is not readable.")
    return token
