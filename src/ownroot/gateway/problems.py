"""Errors of ours as answers to devices: one line of text that names the rule (protocol: gateway.md §4.2, §5).

Devices take every status below 500 as final, and repeat what got 503.
"""

from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from ownroot.gateway.responses import Response

_STATUSES = {
    InvalidInputError: 400,
    UnauthenticatedError: 401,
    RefusedError: 403,
    NotFoundError: 404,
    ConflictError: 409,
}


def error_response(error: OwnrootError) -> Response:
    """Word an error. What the device did not cause (the store, a key that is away) is 503 and ends the connection."""
    text = f"{error.code}: {error.detail}\n".encode()
    status = _STATUSES.get(type(error))
    if status is not None:
        return Response(status, text)
    retry_after = error.retry_after if isinstance(error, UnavailableError) else 30
    return Response(503, text, headers=((b"Retry-After", b"%d" % retry_after),), close=True)
