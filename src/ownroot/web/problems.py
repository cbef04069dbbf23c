"""Errors on the wire: one table from error family to HTTP status, one body for all of them.

Every answer that is not a success is `application/json`, `{"message": text, "errors": ..., "code": ...}`: existing
clients show nothing at all for any other shape (protocol: api.md §1.4).
"""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    KeyStoreError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from ownroot.wire.documents import write_document
from ownroot.wire.errors import ErrorBody, error_body

STATUS_BY_FAMILY: Mapping[type[OwnrootError], HTTPStatus] = {
    InvalidInputError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    RefusedError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    KeyStoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}

# Faults of the HTTP exchange itself: HTTP has a name of its own for each, whatever the family.
STATUS_BY_CODE: Mapping[str, HTTPStatus] = {
    "method-not-allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "body-too-slow": HTTPStatus.REQUEST_TIMEOUT,
    "body-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "wrong-content-type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "wrong-host": HTTPStatus.MISDIRECTED_REQUEST,
    "tuf-root-invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too-many-requests": HTTPStatus.TOO_MANY_REQUESTS,
}

# After these the rest of the request may still be on its way; reading it only to drop it would undo the limit.
_CLOSING = frozenset({"body-too-slow", "body-too-large", "body-cut-short"})


def problem_status(error: OwnrootError) -> HTTPStatus:
    """Return the status an error is answered with; a family without a row is a fault of ours, not of the sender."""
    by_code = STATUS_BY_CODE.get(error.code)
    if by_code is not None:
        return by_code
    for family in type(error).__mro__:
        if family in STATUS_BY_FAMILY:
            return STATUS_BY_FAMILY[family]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem_response(error: OwnrootError, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer an error of ours; its context stays in the log."""
    extra = dict(headers or {})
    status = problem_status(error)
    if isinstance(error, UnavailableError):
        extra["Retry-After"] = str(error.retry_after)
    if status is HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = "Bearer"
    extra |= closing_headers(error)
    return json_response(status, error_body(error), headers=extra)


def closing_headers(error: OwnrootError) -> dict[str, str]:
    """Return the header that ends the connection, for errors after which it is of no more use."""
    return {"Connection": "close"} if error.code in _CLOSING else {}


def unexpected_response(request_id: str) -> Response:
    """Answer a fault of ours without a word about its cause; the log has it under the request id."""
    body = ErrorBody(
        message=f"The server failed on this request. Its log has the cause under request id {request_id}.",
        code="internal-error",
    )
    return json_response(HTTPStatus.INTERNAL_SERVER_ERROR, body)


def json_response(status: int, document: object, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a JSON document; an answer never goes into a cache, since most hold what a token paid for."""
    return Response(
        write_document(document),
        status_code=int(status),
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
