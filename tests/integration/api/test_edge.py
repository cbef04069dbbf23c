"""The HTTP edge of a real server: what scripts and existing clients lean on (protocol: api.md §1 and §9)."""

import base64
import json
import socket
from urllib.parse import urlsplit

import pytest

CERTS = "/ota/factories/acme/certs/"


def is_problem(answer) -> bool:
    body = answer.json()
    return answer.headers["content-type"] == "application/json" and isinstance(body["message"], str)


def raw(server, data: bytes) -> bytes:
    where = urlsplit(server.api_url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def test_token_header_and_both_bearer_forms_are_accepted(server):
    token = server.owner_token
    encoded = base64.b64encode(token.encode()).decode()
    for headers in ({"Osf-Token": token}, {"Authorization": f"Bearer {encoded}"}, {"Authorization": f"Bearer {token}"}):
        assert server.call("GET", "/ota/factories/acme/users/self/", token=None, headers=headers).status_code == 200


def test_token_header_wins_over_a_bearer_of_another(server):
    answer = server.call("GET", "/ota/factories/acme/users/self/", headers={"Authorization": "Bearer own_other"})
    assert answer.status_code == 200


@pytest.mark.parametrize("headers", [{}, {"OSF-TOKEN": "own_unknown"}, {"Authorization": "Basic eDp5"}])
def test_no_token_or_an_unknown_one_is_401(server, headers):
    answer = server.call("GET", CERTS, token=None, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert is_problem(answer)


def test_another_factorys_token_is_403_and_an_unknown_factory_404(server):
    other = server.for_factory("other-edge")
    assert server.call("GET", CERTS, token=other.owner_token).json()["code"] == "wrong-factory"
    answer = server.call("GET", "/ota/factories/nowhere/certs/")
    assert (answer.status_code, answer.json()["code"]) == (404, "factory-unknown")


def test_a_scope_opens_what_it_names_and_nothing_else(server):
    reader = server.create_token("certs:read", user="reader")
    assert server.call("GET", CERTS, token=reader).status_code == 206
    answer = server.call("POST", CERTS, token=reader, document={"tls-csr": True})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    answer = server.call("GET", "/ota/factories/acme/users/", token=reader)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


def test_a_scope_may_carry_the_factory_before_it(server):
    token = server.create_token("acme:certs:read", user="reader")
    assert server.call("GET", CERTS, token=token).status_code == 206


def test_a_missing_slash_is_404_and_never_a_redirect(server):
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert server.call(method, CERTS.rstrip("/")).status_code == 404
    assert server.call("GET", "/ota/factories/acme/teams/owners/").status_code == 404


def test_an_unknown_method_is_405_with_what_is_offered(server):
    answer = server.call("PUT", CERTS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, PATCH, HEAD")
    assert is_problem(answer)


def test_head_is_get_without_a_body(server):
    answer = server.call("HEAD", CERTS)
    assert (answer.status_code, answer.content) == (206, b"")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"[1]", {"Content-Type": "application/json"}, 400),
        (b'"text"', {"Content-Type": "application/json"}, 400),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 400),
        (b'{"tls-csr": "\\ud800"}', {"Content-Type": "application/json"}, 400),
        (b'{"tls-csr": 1}', {"Content-Type": "application/json"}, 400),
        (b"tls-csr=true", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b" " * (1024 * 1024 + 1), {"Content-Type": "application/json"}, 413),
    ],
    ids=["cut", "array", "string", "not-utf8", "deep", "surrogate", "number", "form", "large"],
)
def test_a_bad_body_is_refused_with_a_message(server, content, headers, status):
    answer = server.call("POST", CERTS, content=content, headers=headers)
    assert answer.status_code == status
    assert is_problem(answer)


def test_a_body_without_end_is_cut_off_at_the_limit(server):
    head = (
        f"POST {CERTS} HTTP/1.1\r\nHost: localhost\r\nOSF-TOKEN: {server.owner_token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    limit = b"10000\r\n" + b" " * 65536 + b"\r\n"
    # One byte past the limit and no end: whoever waits for more than that never answers.
    answer = raw(server, head.encode() + limit * 16 + b"1\r\n \r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body-too-large"
    assert server.call("GET", "/healthz").status_code == 200


def test_a_body_of_just_the_limit_is_read_to_its_end(server):
    answer = server.call("POST", CERTS, content=b" " * (1024 * 1024 - 2) + b"[]")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    ],
    ids=["foreign", "two", "none"],
)
def test_only_names_of_ours_are_answered(server, request_head):
    answer = raw(server, request_head)
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert b'"code":"wrong-host"' in answer


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
    ids=["tls", "header", "smuggling", "path", "connect", "large-head"],
)
def test_what_is_not_http_gets_a_4xx_and_a_close(server, data):
    answer = raw(server, data)
    assert answer.startswith(b"HTTP/1.1 4")
    assert b'"message"' in answer


def test_a_request_id_is_echoed_or_made(server):
    assert server.call("GET", "/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert server.call("GET", "/healthz", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"


def test_health_readiness_metrics_and_description_need_no_token(server):
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert server.call("GET", path, token=None).status_code == 200
    assert "ownroot_api_requests_total" in server.call("GET", "/metrics", token=None).text
    assert server.call("GET", "/openapi.json", token=None).json()["openapi"] == "3.1.0"


def test_a_nul_byte_in_a_name_is_a_4xx(server):
    for path in ("/ota/factories/a%00b/certs/", "/ota/factories/acme/users/%00/", "/ota/factories/acme%0a/certs/"):
        assert server.call("GET", path).status_code == 404
    assert server.call("GET", "/ota/factories/?admin=%00").status_code == 400


def test_tokens_and_keys_stay_out_of_the_log(server):
    server.call("GET", CERTS, token="own_" + "a" * 43)
    assert server.owner_token not in server.log
    assert "PRIVATE KEY" not in server.log


def test_clients_that_never_finish_do_not_stop_the_others(server):
    where = urlsplit(server.api_url)
    heads = [
        b"",
        b"GET / HT",
        b"POST " + CERTS.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ]
    slow = [socket.create_connection((where.hostname, where.port), timeout=10) for _ in range(60)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(heads[number % len(heads)])
        assert server.call("GET", CERTS).status_code == 206
    finally:
        for connection in slow:
            connection.close()
    assert server.call("GET", CERTS).status_code == 206
