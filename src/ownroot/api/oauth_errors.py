"""How the OAuth endpoints say an error: RFC 6749 §5.2, with our message and code beside it.

Every final refusal is status 400. Device programs take any other status for "try again" and do so for ever
(registration.md §3.2), and existing clients print the body of whatever is not 200. `slow_down` does not exist here:
programs give up when they hear it.
"""

from collections.abc import Mapping
from http import HTTPStatus

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
from ownroot.web.endpoint import Reply
from ownroot.web.problems import problem_status
from ownroot.wire.oauth import oauth_error_body

ERROR_BY_FAMILY: Mapping[type[OwnrootError], str] = {
    InvalidInputError: "invalid_request",
    UnauthenticatedError: "invalid_client",
    RefusedError: "access_denied",
    NotFoundError: "invalid_request",
    ConflictError: "invalid_request",
    KeyStoreError: "temporarily_unavailable",
    UnavailableError: "temporarily_unavailable",
}

ERROR_BY_CODE: Mapping[str, str] = {
    "authorization-pending": "authorization_pending",
    "authorization-denied": "access_denied",
    "authorization-expired": "expired_token",
    "authorization-used": "invalid_grant",
    "authorization-unknown": "invalid_grant",
    "device-uuid-invalid": "invalid_client",
    "grant-unsupported": "unsupported_grant_type",
    "member-unknown": "invalid_grant",
    "refresh-expired": "invalid_grant",
    "refresh-reused": "invalid_grant",
    "refresh-unknown": "invalid_grant",
    "scope-not-granted": "invalid_scope",
    "scope-not-registration": "invalid_scope",
    "scope-unknown": "invalid_scope",
    "scope-wrong-factory": "invalid_scope",
}


def oauth_refusal(error: OwnrootError) -> Reply:
    """Return the answer to an error; its context stays in the log."""
    headers = {"Pragma": "no-cache"}
    status = HTTPStatus.BAD_REQUEST
    if problem_status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(error.retry_after)
    return Reply(status, oauth_error_body(_error_name(error), error.detail, error.code), headers)


def _error_name(error: OwnrootError) -> str:
    by_code = ERROR_BY_CODE.get(error.code)
    if by_code is not None:
        return by_code
    return next(
        (ERROR_BY_FAMILY[family] for family in type(error).__mro__ if family in ERROR_BY_FAMILY), "server_error"
    )
