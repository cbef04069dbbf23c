"""What counts as a request, byte for byte; the same over TLS is in tests/integration/gateway/test_requests.py."""

import gc
import weakref
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.gateway.http_parser import HttpFault, Request, RequestParser
from ownroot.gateway.limits import Limits

LIMITS = Limits()
GET = b"GET /device?a=1 HTTP/1.1\r\nHost: gw.example\r\nX-A: 1\r\n\r\n"
POST = (
    b"POST /events HTTP/1.1\r\nHost: gw.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
)


def parse(*pieces: bytes, limits: Limits = LIMITS) -> RequestParser:
    parser = RequestParser(limits)
    for piece in pieces:
        parser.feed(piece)
    return parser


def fault(raw: bytes, limits: Limits = LIMITS) -> int:
    parser = parse(raw, limits=limits)
    assert parser.requests == []
    assert parser.fault is not None
    return parser.fault.status


def with_headers(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET /a HTTP/" + version + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def test_request_is_read_with_its_parts() -> None:
    assert parse(GET).requests == [
        Request("GET", "/device", "a=1", {b"host": b"gw.example", b"x-a": b"1"}, b"", keep_alive=True)
    ]


def test_chunked_body_is_put_together() -> None:
    assert parse(POST).requests[0].body == b"abcde"


@given(st.lists(st.integers(0, len(GET + POST + GET))))
def test_the_way_bytes_are_cut_changes_nothing(cuts: list[int]) -> None:
    raw = GET + POST + GET
    edges = [0, *sorted(cuts), len(raw)]
    parser = parse(*(raw[start:end] for start, end in pairwise(edges)))
    assert parser.requests == parse(raw).requests
    assert len(parser.requests) == 3
    assert parser.is_between_requests is False


@given(st.sampled_from([GET, POST, GET + POST]), st.binary(max_size=300) | st.sampled_from([GET, POST, b"\r\n" + GET]))
def test_parser_that_has_read_a_request_reads_the_next_like_a_new_one(before: bytes, then: bytes) -> None:
    parser = parse(before)
    parser.requests.clear()
    parser.feed(then)
    fresh = parse(then)
    assert (parser.requests, parser.fault) == (fresh.requests, fresh.fault)
    assert parser.is_between_requests is fresh.is_between_requests


def test_idle_parser_keeps_nothing_of_its_last_request_and_lets_go_of_its_owner() -> None:
    class Owner:
        def body_bytes(self, _path: str) -> int | None:
            return None

    owner = Owner()
    gone = weakref.ref(owner)
    parser = RequestParser(LIMITS, owner.body_bytes)
    parser.feed(POST)
    headers = parser.requests[0].headers
    assert not any(one is parser for one in gc.get_referrers(headers))

    gc.disable()
    try:
        parser.let_go()
        del owner, parser
        assert gone() is None
    finally:
        gc.enable()


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise_and_never_pass_silently(junk: bytes) -> None:
    parser = parse(junk)
    assert parser.fault is None or 400 <= parser.fault.status < 600


@given(st.binary(max_size=60), st.integers(0, len(GET)))
def test_bytes_forced_into_a_request_never_raise(junk: bytes, at: int) -> None:
    parser = parse(GET[:at] + junk + GET[at:])
    for request in parser.requests:
        assert request.path.startswith("/")
        assert request.path.isascii()


def test_repeated_header_is_joined() -> None:
    headers = parse(with_headers(b"Host: x", b"A: 1", b"a: 2")).requests[0].headers
    assert headers[b"a"] == b"1, 2"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(with_headers(), id="no-host"),
        pytest.param(with_headers(b"Host: x", b"Host: x"), id="two-hosts"),
        pytest.param(with_headers(b"Host: x", b"Host: x", version=b"1.0"), id="two-hosts-on-1.0"),
        pytest.param(with_headers(b"Host: "), id="empty-host"),
        pytest.param(with_headers(b"Host: a b"), id="host-with-space"),
        pytest.param(with_headers(b"Host: x/y"), id="host-with-path"),
        pytest.param(with_headers(b"Host: x@y"), id="host-with-user"),
        pytest.param(b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", id="absolute-target"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", id="asterisk-target"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", id="connect"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", id="target-not-ascii"),
        pytest.param(b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", id="fragment"),
        pytest.param(with_headers(b"Host: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), id="te-2"),
        pytest.param(with_headers(b"Host: x", b"Transfer-Encoding: identity"), id="te-identity"),
        pytest.param(with_headers(b"Host: x", b"Transfer-Encoding: chunked, chunked"), id="te-chunked-chunked"),
        pytest.param(with_headers(b"Host: x", b"Transfer-Encoding: xchunked"), id="te-xchunked"),
        pytest.param(with_headers(b"Transfer-Encoding: chunked", version=b"1.0"), id="te-on-1.0"),
        pytest.param(with_headers(b"Host: x", b"Transfer-Encoding: chunked", b"Content-Length: 5"), id="te-and-cl"),
        pytest.param(with_headers(b"Host: x", b"Content-Length: 5", b"Content-Length: 5"), id="cl-twice"),
        pytest.param(with_headers(b"Host: x", b"Content-Length: 5, 5"), id="cl-list"),
        pytest.param(with_headers(b"Host: x", b"Content-Length: +5"), id="cl-sign"),
        pytest.param(with_headers(b"Host: x", b"Content-Length: 0x5"), id="cl-hex"),
        pytest.param(with_headers(b"Host: x", b"Content-Length: 99999999999999999999999"), id="cl-overflow"),
        pytest.param(with_headers(b"Host: x", b"Upgrade: websocket"), id="upgrade"),
        pytest.param(with_headers(b"Host: x", b"A : 1"), id="space-before-colon"),
        pytest.param(with_headers(b"Host: x", b" folded"), id="folded"),
        pytest.param(with_headers(b"Host: x", b"A: 1\x00"), id="nul"),
        pytest.param(with_headers(b"Host: x\rA: 1"), id="bare-cr"),
        pytest.param(b"GET /a HTTP/1.1\nHost: x\n\n", id="bare-lf"),
        pytest.param(b"get /a HTTP/1.1\r\nHost: x\r\n\r\n", id="method-in-lower-case"),
        pytest.param(POST.replace(b"3\r\n", b"3 \r\n"), id="space-after-chunk-size"),
        pytest.param(POST.replace(b"3\r\n", b"-3\r\n"), id="negative-chunk"),
        pytest.param(POST.replace(b"3\r\n", b"0x3\r\n"), id="hex-prefix-chunk"),
        pytest.param(POST.replace(b"abc\r\n", b"abcX\r\n"), id="chunk-too-long"),
        pytest.param(POST.replace(b"3\r\n", b"3\n"), id="chunk-size-with-bare-lf"),
        pytest.param(POST.replace(b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n"), id="trailer"),
    ],
)
def test_doubtful_bytes_are_a_400(raw: bytes) -> None:
    assert fault(raw) == 400


def test_twins_of_the_doubtful_ones_pass() -> None:
    assert parse(with_headers(b"Host: [::1]:8443")).requests
    assert parse(with_headers(version=b"1.0")).requests
    assert parse(with_headers(b"Host: x", b"Transfer-Encoding: Chunked") + b"0\r\n\r\n").requests
    assert parse(with_headers(b"Host: x", b"Content-Length: 5") + b"hello").requests[0].body == b"hello"


def test_versions_nobody_agreed_on_are_not_spoken() -> None:
    assert fault(with_headers(b"Host: x", version=b"2.0")) == 505
    assert fault(with_headers(b"Host: x", version=b"0.9")) == 505
    assert fault(b"GET /a\r\n\r\n") == 505


def test_headers_are_capped_by_number_and_by_bytes() -> None:
    few = Limits(header_count=3, head_bytes=100)
    assert parse(with_headers(b"Host: x", b"A: 1", b"B: 2"), limits=few).requests
    assert fault(with_headers(b"Host: x", b"A: 1", b"B: 2", b"C: 3"), few) == 431
    assert fault(with_headers(b"Host: x", b"A: " + b"y" * 100), few) == 431
    assert fault(b"GET /" + b"y" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n", few) == 431


def test_header_that_never_ends_is_cut_off() -> None:
    parser = parse(b"GET /a HTTP/1.1\r\nX: ", *[b"y" * 1000] * 40)
    assert parser.fault == HttpFault(431, "request line and headers are too long")


def test_body_is_capped_before_and_while_it_comes() -> None:
    small = Limits(body_bytes=4)
    assert parse(with_headers(b"Host: x", b"Content-Length: 4") + b"abcd", limits=small).requests
    assert fault(with_headers(b"Host: x", b"Content-Length: 5"), small) == 413
    assert fault(POST, small) == 413


def test_a_path_may_take_a_longer_body_and_no_other_path_does() -> None:
    small = Limits(body_bytes=4)

    def outcome(raw: bytes) -> int:
        parser = RequestParser(small, {"/long": 6}.get)
        parser.feed(raw)
        return len(parser.requests[0].body) if parser.fault is None else parser.fault.status

    announced = b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nabcdefg"
    chunked = b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%d\r\n%b\r\n0\r\n\r\n"
    assert outcome(b"PUT /long?a=1" + (announced % 6)[:-1]) == 6
    assert outcome(b"PUT /long" + announced % 7) == 413
    assert outcome(b"PUT /other" + announced % 6) == 413
    assert outcome(b"PUT /long" + chunked % (6, b"abcdef")) == 6
    assert outcome(b"PUT /long" + chunked % (7, b"abcdefg")) == 413
    assert outcome(b"PUT /longer" + chunked % (6, b"abcdef")) == 413


def test_framing_of_tiny_chunks_is_capped_too() -> None:
    chunks = b"1;" + b"x" * 1000 + b"\r\na\r\n"
    head = with_headers(b"Host: x", b"Transfer-Encoding: chunked")
    assert parse(head, *[chunks] * 400).fault == HttpFault(413, "the request is too long")


def test_pipelining_is_capped() -> None:
    parser = parse(GET * 9)
    assert len(parser.requests) == 8
    assert parser.fault is not None


def test_nothing_is_read_behind_the_last_request() -> None:
    last = GET.replace(b"X-A: 1", b"Connection: close")
    parser = parse(last + GET)
    assert len(parser.requests) == 1
    assert parser.fault is None
    assert parser.is_finished
    parser.feed(GET)
    assert len(parser.requests) == 1


def test_expectation_is_seen_until_the_body_comes() -> None:
    head = with_headers(b"Host: x", b"Content-Length: 2", b"Expect: 100-continue")
    assert parse(head).wants_continue
    assert not parse(head + b"o").wants_continue
    assert not parse(with_headers(b"Host: x", b"Content-Length: 2")).wants_continue
