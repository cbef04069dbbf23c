"""HTTP/1.1 responses as values, and as bytes."""

from http import HTTPStatus

import msgspec

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus}
_BODYLESS = frozenset((204, 304))
CONTINUE = _STATUS_LINES[100] + b"\r\n"


class Response(msgspec.Struct, frozen=True, gc=False):
    """An answer. Names and values of `headers` are ready for the wire; the engine adds date, length and connection.

    `close` ends the connection after this answer; a request can ask for that too.
    """

    status: int
    body: bytes = b""
    content_type: bytes = b"text/plain; charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False


def encode_response(response: Response, *, date: bytes, close: bool, head_only: bool) -> bytes:
    """Return the bytes of one answer.

    Args:
        date: value of `Date`; an answer with a date of its own keeps that one alone.
        close: announce that the connection ends.
        head_only: leave the body out, as HEAD asks for.
    """
    parts = [_STATUS_LINES[response.status]]
    has_date = False
    for name, value in response.headers:
        has_date = has_date or name == b"Date"
        parts.append(b"%b: %b\r\n" % (name, value))
    if not has_date:
        parts.append(b"Date: %b\r\n" % date)
    if response.status not in _BODYLESS:
        parts.append(b"Content-Type: %b\r\nContent-Length: %d\r\n" % (response.content_type, len(response.body)))
    parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    if not head_only and response.status not in _BODYLESS:
        parts.append(response.body)
    return b"".join(parts)
