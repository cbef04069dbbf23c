"""Reading a request body as it arrives: never more than the limit, never longer than the time allowed."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import Receive

from ownroot.errors import InvalidInputError


async def read_body(receive: Receive, headers: Headers, *, max_bytes: int, timeout_seconds: float) -> bytes:
    """Return the whole body.

    Raises:
        InvalidInputError: `body-too-large` (by its announced or its real length), `body-too-slow`, `body-cut-short`.
    """
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _collect(receive, max_bytes)
    except TimeoutError as exc:
        detail = f"The request body did not arrive within {timeout_seconds:g} seconds."
        raise InvalidInputError("body-too-slow", detail) from exc


def require_json(headers: Headers) -> None:
    """Refuse a body that says it is something else than JSON; one that says nothing is taken as JSON.

    Raises:
        InvalidInputError: `wrong-content-type`.
    """
    media_type = _media_type(headers)
    if media_type not in ("", "application/json") and not media_type.endswith("+json"):
        raise InvalidInputError(
            "wrong-content-type", f"The body must be application/json, not {media_type[:80]!r}: send Content-Type."
        )


def require_form(headers: Headers) -> None:
    """Refuse a body that says it is something else than a form; one that says nothing is taken as a form.

    Raises:
        InvalidInputError: `wrong-content-type`.
    """
    media_type = _media_type(headers)
    if media_type not in ("", "application/x-www-form-urlencoded"):
        raise InvalidInputError(
            "wrong-content-type", f"The body must be application/x-www-form-urlencoded, not {media_type[:80]!r}."
        )


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _collect(receive: Receive, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInputError("body-cut-short", "The connection ended before the request body did.")
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(max_bytes: int) -> InvalidInputError:
    return InvalidInputError("body-too-large", f"The request body is larger than {max_bytes} bytes.")
