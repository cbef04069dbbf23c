"""Call an ASGI application the way a server would, without a socket."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope


@dataclass(frozen=True, slots=True)
class Answer:
    """What the application sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Iterable[tuple[str, str]] = (("host", "localhost"),),
    body: Iterable[bytes] = (b"",),
    peer: str = "127.0.0.1",
) -> Answer:
    """Send one request; `path` as it is on the wire, `body` what arrives piece by piece."""
    return answer(app, scope(method, path, query, headers, peer), body)


def answer(app: ASGIApp, asked: Scope, body: Iterable[bytes] = (b"",)) -> Answer:
    """Send a request of which the server tells just this."""
    return asyncio.run(_call(app, asked, list(body)))


def scope(
    method: str,
    path: str,
    query: str = "",
    headers: Iterable[tuple[str, str]] = (("host", "localhost"),),
    peer: str = "127.0.0.1",
) -> Scope:
    """Return what our server tells of a request."""
    return {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": (peer, 40000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "root_path": "",
    }


async def _call(app: ASGIApp, scope: Scope, body: list[bytes]) -> Answer:
    pieces = iter(body)
    left = len(body)
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal left
        left -= 1
        if left < 0:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": next(pieces), "more_body": left > 0}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    content = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, content)
