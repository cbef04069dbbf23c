"""The edge around every endpoint: each step passes what is right and refuses what differs in one detail."""

from datetime import UTC, datetime

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from ownroot.errors import RefusedError, UnauthenticatedError
from ownroot.web.application import BodyLimits, Edge, WebApplication
from ownroot.web.endpoint import PUBLIC, Access, Endpoint, FormBody, JsonBody, Reply
from ownroot.web.frontage import Frontage
from ownroot.web.metrics import RequestMetrics
from ownroot.wire.documents import read_document
from tests.support.asgi import answer, call, scope

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOST = ("host", "localhost")
JSON = ("content-type", "application/json")
TOKEN = ("osf-token", "alice")


class Thing(msgspec.Struct):
    name: str


class Paging(msgspec.Struct):
    page: int = 1


class Guard:
    async def admit(self, arrival, access):
        if arrival.credential is None:
            raise UnauthenticatedError("token-missing", "No token.")
        if arrival.credential not in access.scopes:
            raise RefusedError("scope-missing", "No.")
        return arrival.credential


async def show(call):
    return Reply(body={"who": call.caller, "page": call.query.page, "id": call.path["id"]})


async def store(call):
    return Reply(201, call.body)


async def remove(_call):
    return Reply(204)


async def crash(_call):
    raise ZeroDivisionError("secret detail")


ALICE = Access(scopes=("alice",))
ENDPOINTS = (
    Endpoint(method="GET", path="/things/{id}/", handler=show, access=ALICE, summary="Show.", query=Paging),
    Endpoint(method="DELETE", path="/things/{id}/", handler=remove, access=ALICE, summary="Remove."),
    Endpoint(
        method="POST",
        path="/things/",
        handler=store,
        access=ALICE,
        summary="Store.",
        body=JsonBody(lambda body: read_document(body, Thing), Thing),
    ),
    Endpoint(
        method="POST",
        path="/forms/",
        handler=store,
        access=PUBLIC,
        summary="Store a form.",
        body=FormBody(lambda body: Thing(body.decode()), Thing),
        refusal=lambda error: Reply(418, f"no: {error.code}".encode(), media_type="text/plain"),
    ),
    Endpoint(method="GET", path="/crash", handler=crash, access=PUBLIC, summary="Crash."),
)


@pytest.fixture
def app():
    edge = Edge(Frontage(), RequestMetrics(CollectorRegistry()), lambda: NOW, BodyLimits(100, 0.2))
    return WebApplication(ENDPOINTS, guard=Guard(), edge=edge)


def test_an_admitted_call_reaches_its_handler(app):
    answer = call(app, "GET", "/things/x/", query="page=2&unknown=1", headers=[HOST, TOKEN])
    assert (answer.status, answer.json) == (200, {"who": "alice", "page": 2, "id": "x"})


def test_head_is_answered_like_get(app):
    assert call(app, "HEAD", "/things/x/", headers=[HOST, TOKEN]).status == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/things/x/", [HOST], 401, "token-missing"),
        ("GET", "/things/x/", [HOST, ("osf-token", "bob")], 403, "scope-missing"),
        ("GET", "/things/x", [HOST, TOKEN], 404, "no-such-path"),
        ("GET", "//things/x/", [HOST, TOKEN], 404, "no-such-path"),
        ("GET", "/things/x/\n", [HOST, TOKEN], 404, "no-such-path"),
        ("PATCH", "/things/x/", [HOST, TOKEN], 405, "method-not-allowed"),
        ("GET", "/things/x/", [("host", "evil.example"), TOKEN], 421, "wrong-host"),
    ],
)
def test_what_differs_in_one_detail_is_refused(app, method, path, headers, status, code):
    answer = call(app, method, path, headers=headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["message"]


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
@pytest.mark.parametrize("path", ["{}forms/", "/forms{}", "/things{}x/", "/things/x{}"])
def test_an_escaped_slash_leads_to_no_address_that_has_a_slash_there(app, path, slash):
    for method in ("GET", "POST"):
        assert call(app, method, path.format("/"), headers=[HOST, TOKEN, JSON]).status != 404
        refused = call(app, method, path.format(slash), headers=[HOST, TOKEN, JSON])
        assert (refused.status, refused.json["code"]) == (404, "no-such-path")


@pytest.mark.parametrize("path", ["/crash", "/things/x/"])
def test_a_path_of_which_nobody_tells_how_it_was_sent_is_refused(app, path):
    told = scope("DELETE", path, headers=[HOST, TOKEN])
    assert answer(app, told).status != 400
    untold = {name: value for name, value in told.items() if name != "raw_path"}
    for asked in (untold, {**told, "raw_path": None}, {**told, "raw_path": b""}):
        refused = answer(app, asked)
        assert (refused.status, refused.json["code"]) == (400, "path-not-told")


def test_405_lists_what_is_offered(app):
    answer = call(app, "PUT", "/things/x/", headers=[HOST, TOKEN])
    assert answer.headers["allow"] == "GET, DELETE, HEAD"


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ([HOST, TOKEN, JSON], [b'{"name": "n", "x": 1}'], 201, None),
        ([HOST, TOKEN], [b'{"na', b'me": "n"}'], 201, None),
        ([HOST, TOKEN, ("content-type", "application/merge-patch+json; charset=utf-8")], [b'{"name":"n"}'], 201, None),
        ([HOST, TOKEN, ("content-type", "text/plain")], [b'{"name":"n"}'], 415, "wrong-content-type"),
        ([HOST, TOKEN, JSON], [b'{"name":'], 400, "bad-json"),
        ([HOST, TOKEN, JSON], [b'{"name": 1}'], 400, "bad-field"),
        ([HOST, TOKEN, JSON], [b"{}" + b" " * 100], 413, "body-too-large"),
        ([HOST, TOKEN, JSON], [b"{", b" " * 60, b" " * 60], 413, "body-too-large"),
        ([HOST, TOKEN, JSON, ("content-length", "101")], [b"{}"], 413, "body-too-large"),
        ([HOST, TOKEN, JSON, ("content-length", "9" * 5000)], [b"{}"], 413, "body-too-large"),
        ([HOST, TOKEN, JSON], [], 400, "body-cut-short"),
    ],
)
def test_bodies_are_json_of_bounded_size(app, headers, body, status, code):
    answer = call(app, "POST", "/things/", headers=headers, body=body)
    assert (answer.status, answer.json.get("code")) == (status, code)


def test_body_of_a_caller_without_token_is_not_read(app):
    assert call(app, "POST", "/things/", headers=[HOST, JSON], body=[b"x" * 1000]).status == 401


def test_delete_with_json_type_and_no_body_is_not_parsed(app):
    answer = call(app, "DELETE", "/things/x/", headers=[HOST, TOKEN, JSON])
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("query", ["page=one", "page=%00", "&".join(f"a{number}=1" for number in range(200))])
def test_bad_query_is_refused(app, query):
    answer = call(app, "GET", "/things/x/", query=query, headers=[HOST, TOKEN])
    assert (answer.status, answer.json["code"]) == (400, "bad-query")


def test_a_crash_says_nothing_but_its_request_id(app):
    answer = call(app, "GET", "/crash", headers=[HOST, ("x-request-id", "mine-1")])
    assert (answer.status, answer.headers["x-request-id"]) == (500, "mine-1")
    assert "mine-1" in answer.json["message"]
    assert b"secret" not in answer.body


def test_a_strange_request_id_is_replaced(app):
    answer = call(app, "GET", "/crash", headers=[HOST, ("x-request-id", "a b\tc")])
    assert answer.headers["x-request-id"] != "a b\tc"


def test_a_body_that_stops_arriving_is_refused(app):
    import asyncio

    async def send_half():
        sent = []

        async def receive():
            await asyncio.sleep(3600)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/things/",
            "raw_path": b"/things/",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"osf-token", b"alice")],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
        }
        await app(scope, receive, send)
        return sent[0]

    start = asyncio.run(send_half())
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]


def test_one_endpoint_is_declared_once(app):
    edge = Edge(Frontage(), RequestMetrics(CollectorRegistry()), lambda: NOW)
    with pytest.raises(ValueError, match="declared twice"):
        WebApplication((*ENDPOINTS, ENDPOINTS[0]), guard=Guard(), edge=edge)


FORM = ("content-type", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("headers", "body", "status", "text"),
    [
        ([HOST, FORM], b"a=b", 201, b'{"name":"a=b"}'),
        ([HOST], b"a=b", 201, b'{"name":"a=b"}'),
        ([HOST, JSON], b"a=b", 418, b"no: wrong-content-type"),
        ([HOST, FORM], b"a" * 101, 418, b"no: body-too-large"),
        ([("host", "evil.example"), FORM], b"a=b", 421, None),
    ],
)
def test_forms_are_read_and_refused_as_their_endpoint_says(app, headers, body, status, text):
    answer = call(app, "POST", "/forms/", headers=headers, body=[body])
    assert answer.status == status
    assert text is None or answer.body == text


def test_connection_of_a_body_that_is_too_large_is_closed_whoever_says_so(app):
    assert call(app, "POST", "/forms/", headers=[HOST, FORM], body=[b"a" * 101]).headers["connection"] == "close"
    assert "connection" not in call(app, "POST", "/forms/", headers=[HOST, JSON], body=[b"a"]).headers
