"""The ASGI application made of endpoints.

For every request, in this order: request id, `Host` and proxy, route, method, guard, query, body, handler. Each step
refuses with a problem document; none is skipped, and the body of a caller who was not let in is never read.
"""

import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
import structlog
from starlette.convertors import PathConvertor
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from ownroot.errors import InvalidInputError, NotFoundError, OwnrootError
from ownroot.web.body import read_body, require_form, require_json
from ownroot.web.credentials import read_credential
from ownroot.web.endpoint import Arrival, Call, Endpoint, FormBody, Guard, JsonBody, Reply
from ownroot.web.frontage import Frontage, Origin
from ownroot.web.metrics import RequestMetrics
from ownroot.web.peer import client_certificate_name
from ownroot.web.problems import closing_headers, json_response, problem_response, unexpected_response

Caller = TypeVar("Caller")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_MAX_QUERY_FIELDS = 100
_ESCAPED_SLASH = re.compile(rb"%2[Ff]")
_APART = "\0"  # a path with a NUL of its own is refused before


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much of a request we are willing to hold, and for how long we wait for it."""

    max_body_bytes: int = 1024 * 1024
    body_timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Edge:
    """What surrounds the endpoints of one listener. `clock` gives each request its `now`."""

    frontage: Frontage
    metrics: RequestMetrics
    clock: Callable[[], datetime]
    limits: BodyLimits = BodyLimits()


@dataclass(slots=True)
class _Exchange:
    """One request on its way: what the log and the metrics say about it at the end."""

    method: str
    request_id: str
    template: str = "-"
    client_address: str = ""
    code: str = ""
    say: Callable[[OwnrootError], Response] = problem_response


class WebApplication(Generic[Caller]):
    """Serves endpoints over ASGI; knows neither what they do nor who their callers are.

    Args:
        guard: asked before every endpoint that is not public.
    """

    def __init__(self, endpoints: Iterable[Endpoint[Caller]], *, guard: Guard[Caller], edge: Edge) -> None:
        by_path = _by_path(endpoints)
        self._plain = {path: methods for path, methods in by_path.items() if "{" not in path}
        # Starlette's route is used for its path syntax alone; the endpoint it wants is never called.
        self._routes = [(Route(path, Response), methods) for path, methods in by_path.items() if "{" in path]
        self._guard = guard
        self._edge = edge
        self._log = structlog.get_logger("ownroot.api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; other kinds of connection are not spoken here."""
        if scope["type"] != "http":
            raise RuntimeError(f"this application does not speak {scope['type']}")
        headers = Headers(scope=scope)
        exchange = _Exchange(scope["method"], _request_id(headers))
        started = time.perf_counter()
        response = await self._answer(scope, receive, headers, exchange)
        await response(scope, receive, _with_request_id(send, exchange.request_id))
        self._account(exchange, response.status_code, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, headers: Headers, exchange: _Exchange) -> Response:
        try:
            origin = self._edge.frontage.locate(scope, headers)
            exchange.client_address = origin.client_address
            endpoints, path = self._find(scope)
            exchange.template = next(iter(endpoints.values())).path
            endpoint = endpoints.get("GET" if exchange.method == "HEAD" else exchange.method)
            if endpoint is None:
                return _method_not_allowed(exchange.method, endpoints)
            exchange.say = _speaker(endpoint)
            call = await self._admit(endpoint, scope, headers, receive, (origin, path, exchange.request_id))
            return _response(await endpoint.handler(call))
        except OwnrootError as error:
            exchange.code = error.code
            if error.context:
                self._log.warning("request failed", request_id=exchange.request_id, code=error.code, **error.context)
            return exchange.say(error)
        except Exception:  # noqa: BLE001 - the request edge: logged with its trace, answered without
            self._log.exception("request crashed", request_id=exchange.request_id, path=scope["path"])
            return unexpected_response(exchange.request_id)

    def _find(self, scope: Scope) -> tuple[Mapping[str, Endpoint[Caller]], Mapping[str, str]]:
        apart = _with_escaped_slashes_apart(scope)
        plain = self._plain.get(apart["path"])
        if plain is not None:
            return plain, {}
        if scope["path"].isprintable():
            for route, endpoints in self._routes:
                match, found = route.matches(apart)
                if match is Match.FULL:
                    return endpoints, _whole(route, found["path_params"])
        raise NotFoundError("no-such-path", "There is nothing at this address. Slashes at the end count.")

    async def _admit(
        self,
        endpoint: Endpoint[Caller],
        scope: Scope,
        headers: Headers,
        receive: Receive,
        facts: tuple[Origin, Mapping[str, str], str],
    ) -> Call[Caller]:
        origin, path, request_id = facts
        arrival = Arrival(
            method=endpoint.method,
            path=path,
            query=_query(scope["query_string"]),
            credential=None if endpoint.access is None else read_credential(headers),
            client_address=origin.client_address,
            request_id=request_id,
            base_url=origin.base_url,
            now=self._edge.clock(),
            client_certificate_name=client_certificate_name(scope),
            headers=headers,
        )
        caller = None if endpoint.access is None else await self._guard.admit(arrival, endpoint.access)
        query = None if endpoint.query is None else _convert_query(arrival.query, endpoint.query)
        body = None if endpoint.body is None else endpoint.body.parse(await self._read(receive, headers, endpoint.body))
        return Call(arrival, body, query, caller)

    async def _read(self, receive: Receive, headers: Headers, wanted: JsonBody | FormBody) -> bytes:
        body = await read_body(
            receive,
            headers,
            max_bytes=max(self._edge.limits.max_body_bytes, wanted.max_bytes or 0),
            timeout_seconds=self._edge.limits.body_timeout_seconds,
        )
        if body:
            (require_json if isinstance(wanted, JsonBody) else require_form)(headers)
        return body

    def _account(self, exchange: _Exchange, status: int, seconds: float) -> None:
        self._edge.metrics.observe(
            exchange.method if exchange.template != "-" else "-", exchange.template, status, seconds
        )
        level = logging.INFO if status >= 400 else logging.DEBUG
        if not self._log.is_enabled_for(level):
            return
        self._log.log(
            level,
            "request",
            method=exchange.method,
            path=exchange.template,
            status=status,
            code=exchange.code,
            client=exchange.client_address,
            request_id=exchange.request_id,
            milliseconds=round(seconds * 1000, 1),
        )


def _with_escaped_slashes_apart(scope: Scope) -> Scope:
    """Let a slash that was escaped be part of a name while routes are matched, not the end of one.

    Otherwise `DELETE devices/a%2Fconfig%2Fb/` would delete a file of the device `a` where a device was named.

    Raises:
        InvalidInputError: `path-not-told`. ASGI lets a server leave `raw_path` out; ours, uvicorn, never does.
    """
    raw: bytes | None = scope.get("raw_path")
    if not raw:
        raise InvalidInputError(
            "path-not-told",
            "The path is not known as it was sent, so neither is which slashes in it were escaped. Run Ownroot with "
            "`ownroot serve`.",
        )
    if _ESCAPED_SLASH.search(raw) is None:
        return scope
    return {**scope, "path": unquote(_ESCAPED_SLASH.sub(_APART.encode(), raw).decode("ascii"))}


def _whole(route: Route, names: Mapping[str, str]) -> Mapping[str, str]:
    """Put escaped slashes back where names may hold them, which is in paths of files alone."""
    for name, value in names.items():
        if _APART in value and not isinstance(route.param_convertors[name], PathConvertor):
            raise NotFoundError("no-such-path", "There is nothing at this address: no name in it may hold a slash.")
    return {name: value.replace(_APART, "/") for name, value in names.items()}


def _by_path(endpoints: Iterable[Endpoint[Caller]]) -> dict[str, dict[str, Endpoint[Caller]]]:
    by_path: dict[str, dict[str, Endpoint[Caller]]] = {}
    for endpoint in endpoints:
        methods = by_path.setdefault(endpoint.path, {})
        if endpoint.method in methods:
            raise ValueError(f"{endpoint.method} {endpoint.path} is declared twice")
        methods[endpoint.method] = endpoint
    return by_path


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.match(given) else f"{random.getrandbits(64):016x}"


def _with_request_id(send: Send, request_id: str) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
        await send(message)

    return send_with_id


def _method_not_allowed(method: str, endpoints: Mapping[str, Endpoint[Caller]]) -> Response:
    allowed = [*endpoints, *(["HEAD"] if "GET" in endpoints else [])]
    error = InvalidInputError("method-not-allowed", f"{method} is not offered here, only {', '.join(allowed)}.")
    return problem_response(error, headers={"Allow": ", ".join(allowed)})


def _query(query_string: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query_string.decode("latin-1"), max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError as exc:
        raise InvalidInputError("bad-query", f"The query has more than {_MAX_QUERY_FIELDS} parameters.") from exc
    if not all(value.isprintable() for _, value in pairs):
        raise InvalidInputError("bad-query", "The query holds control characters.")
    return dict(pairs)


def _convert_query(query: Mapping[str, str], shape: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.convert(dict(query), shape, strict=False)
    except msgspec.ValidationError as exc:
        text, _, name = str(exc).partition(" - at `$.")
        field = name.rstrip("`") or "query"
        raise InvalidInputError("bad-query", f"Query parameter {field}: {text}.", fields={field: text}) from exc


def _speaker(endpoint: Endpoint[Any]) -> Callable[[OwnrootError], Response]:
    """How an endpoint says its errors; a connection whose request was not read to its end is closed all the same."""
    say = endpoint.refusal
    if say is None:
        return problem_response

    def speak(error: OwnrootError) -> Response:
        response = _response(say(error))
        response.headers.update(closing_headers(error))
        return response

    return speak


def _response(reply: Reply) -> Response:
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    if isinstance(reply.body, bytes):
        return Response(reply.body, status_code=reply.status, media_type=reply.media_type, headers=dict(reply.headers))
    return json_response(reply.status, reply.body, headers=reply.headers)
