"""From an HTTP answer that is no success to an error of ours that says what the server said."""

import re

from ownroot.client.transport import Answer
from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from ownroot.wire.errors import ErrorBody, read_error_body

_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FAMILIES: dict[int, type[OwnrootError]] = {
    401: UnauthenticatedError,
    403: RefusedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    412: ConflictError,
}
_REQUEST_TIMEOUT = 408
# Ours, and another server's 404 without a code of ours: the address itself may be what is wrong.
_WRONG_ADDRESS = frozenset({"no-such-path", "http-404"})
_NEVER_SENT = frozenset({"bad-url", "no-connection", "server-not-trusted", "tls-failed"})
_RETRY_SECONDS = 5
_MAX_RETRY_SECONDS = 24 * 3600
_MAX_TEXT = 400


def error_of(answer: Answer) -> OwnrootError:
    """Say an unsuccessful answer as an error.

    The code is the server's if it sent one, else `http-<status>`; the detail is the server's message, else the status
    in words. Redirects are an error: they mean that this is not the address of the API.
    """
    said = read_error_body(answer.body) or _plain_text(answer)
    where = f"{answer.method} {answer.url}"
    context = {"status": answer.status, "request": where}
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "elsewhere")
        return InvalidInputError(
            "redirected", f"{where} was answered by a redirect to {target}, which we do not follow.", context=context
        )
    detail = (
        said.message if said else f"The server answered {where} with HTTP {answer.status} and no reason we can read."
    )
    code = said.code if said and _CODE.fullmatch(said.code) else f"http-{answer.status}"
    if said and code in _WRONG_ADDRESS:
        detail = f"{detail} It was asked for {where}."
    fields = _fields(said)
    if answer.status == 429 or answer.status >= 500:
        return UnavailableError(code, detail, retry_after=_retry_after(answer), fields=fields, context=context)
    return _FAMILIES.get(answer.status, InvalidInputError)(code, detail, fields=fields, context=context)


def is_certain(error: OwnrootError) -> bool:
    """Is it certain that the server did not do what it was asked?

    Certain are answers that refuse (3xx, 4xx) and requests that never left. No answer, an answer of 5xx, which may come
    from a front that lost patience, and a success we do not understand leave it open.
    """
    status = error.context.get("status")
    if isinstance(status, int):
        return 300 <= status < 500 and status != _REQUEST_TIMEOUT
    return error.code in _NEVER_SENT


def _plain_text(answer: Answer) -> ErrorBody | None:
    """Read a reason in plain text, as gateways give it; ours puts the code before it: `device-denied: ...`."""
    if not answer.headers.get("content-type", "").startswith("text/plain"):
        return None
    text = " ".join(answer.text.split())[:_MAX_TEXT]
    if not text.isprintable() or not text:
        return None
    code, found, reason = text.partition(": ")
    return ErrorBody(message=reason, code=code) if found and _CODE.fullmatch(code) else ErrorBody(message=text)


def _fields(said: ErrorBody | None) -> dict[str, str]:
    if said is None:
        return {}
    if isinstance(said.errors, dict):
        return said.errors
    return {str(number): text for number, text in enumerate(said.errors, start=1)}


def _retry_after(answer: Answer) -> int:
    value = answer.headers.get("retry-after", "")
    return min(int(value), _MAX_RETRY_SECONDS) if value.isascii() and value.isdigit() else _RETRY_SECONDS
