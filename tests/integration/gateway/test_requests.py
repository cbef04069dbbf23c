"""HTTP over the gateway's TLS: what is read, what is refused, how connections go on or end."""

import asyncio
import ssl
import threading

import pytest

from tests.support.echo_engine import RunningEngine, running_engine, small
from tests.support.tls_device import Device, ask, exchange, is_closed_by_peer, read_reply

OK = b"GET /a HTTP/1.1\r\nHost: x\r\n"


def test_connection_is_kept_for_the_next_request(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        assert [ask(connection, f"/{number}").status for number in range(3)] == [200, 200, 200]


def test_connection_ends_when_the_device_asks_for_it(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        reply = ask(connection, Connection="close")
        assert reply.headers["connection"] == "close"
        assert is_closed_by_peer(connection)


def test_http_1_0_without_host_is_answered_and_closed(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        assert exchange(connection, b"GET /a HTTP/1.0\r\n\r\n").status == 200
        assert is_closed_by_peer(connection)


def test_answers_carry_a_date(engine: RunningEngine) -> None:
    assert Device().get(engine.address).headers["date"].endswith(" GMT")


def test_head_is_answered_without_a_body(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        reply = ask(connection, "/a", method="HEAD")
        assert (reply.status, reply.body) == (200, b"")
        assert int(reply.headers["content-length"]) > 0
        assert ask(connection, "/b").status == 200


def test_body_arrives_whole_by_length_and_by_chunks(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        by_length = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        assert exchange(connection, by_length).body.endswith(b"hello\n")
        by_chunks = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
        assert exchange(connection, by_chunks).body.endswith(b"hello\n")


def test_pipelined_requests_are_answered_in_order(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        connection.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(8)))
        assert [f"/{number} " in read_reply(connection).text for number in range(8)] == [True] * 8


def test_too_many_pipelined_requests_end_the_connection(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        connection.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(9)))
        statuses = [read_reply(connection).status for _ in range(9)]
        assert statuses == [200] * 8 + [400]
        assert is_closed_by_peer(connection)


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        pytest.param(400, b"GET /a HTTP/1.1\r\n\r\n", id="no-host"),
        pytest.param(400, OK + b"Host: y\r\n\r\n", id="two-hosts"),
        pytest.param(400, b"GET https://x/a HTTP/1.1\r\nHost: x\r\n\r\n", id="absolute-target"),
        pytest.param(400, OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip-chunked"),
        pytest.param(400, OK + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", id="te-and-cl"),
        pytest.param(400, OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", id="two-lengths"),
        pytest.param(400, OK + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", id="upgrade"),
        pytest.param(400, OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n", id="trailer"),
        pytest.param(400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2-preface"),
        pytest.param(400, b"GET /a HTTP/1.1\nHost: x\n\n", id="bare-line-feeds"),
        pytest.param(413, OK + b"Content-Length: 102401\r\n\r\n", id="body-announced-too-long"),
        pytest.param(431, OK + b"X: " + b"y" * 17000 + b"\r\n\r\n", id="long-header"),
        pytest.param(431, OK + b"".join(b"X-%d: y\r\n" % number for number in range(70)) + b"\r\n", id="many-headers"),
        pytest.param(417, OK + b"Expect: money\r\n\r\n", id="unknown-expectation"),
    ],
)
def test_doubtful_request_is_answered_once_and_the_connection_closed(
    engine: RunningEngine, status: int, raw: bytes
) -> None:
    known = len(engine.application.requests)
    with Device().connect(engine.address) as connection:
        reply = exchange(connection, raw)
        assert reply.status == status
        assert reply.body.strip()
        assert is_closed_by_peer(connection)
    assert len(engine.application.requests) == known


def test_good_request_before_a_doubtful_one_is_answered(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        connection.sendall(OK + b"\r\n" + b"GET /a HTTP/1.1\r\n\r\n")
        assert [read_reply(connection).status for _ in range(2)] == [200, 400]


def test_body_that_grows_too_long_in_chunks_is_cut_off(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        connection.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(13):
            connection.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        assert read_reply(connection).status == 413


def test_device_that_expects_to_be_told_to_continue_is_told(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        connection.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert exchange(connection, b"ok").body.endswith(b"ok\n")


def test_refusal_is_read_before_the_connection_ends(engine: RunningEngine) -> None:
    with Device().connect(engine.address) as connection:
        reply = ask(connection, "/refused")
        assert (reply.status, reply.body) == (403, b"no\n")
        assert connection.recv(1) == b""  # a close_notify, not a reset


def test_broken_handler_is_a_500_and_the_server_goes_on(engine: RunningEngine) -> None:
    assert Device().get(engine.address, "/broken").status == 500
    assert Device().get(engine.address).status == 200


def test_next_request_waits_while_an_answer_is_being_made() -> None:
    with running_engine() as engine, Device().connect(engine.address) as connection:
        engine.call(lambda: setattr(engine.application, "slow", asyncio.Event()))
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        other = Device().get(engine.address, "/other")
        assert other.status == 200
        assert [request.path for request in engine.application.requests] == ["/slow", "/other"]
        assert engine.application.slow is not None
        engine.call(engine.application.slow.set)
        assert "/slow " in read_reply(connection).text
        assert "/next " in read_reply(connection).text


def test_big_answer_reaches_a_slow_reader_whole(engine: RunningEngine) -> None:
    reply = Device().get(engine.address, "/big?3000000")
    assert len(reply.body) == 3_000_000


def test_reader_that_never_reads_is_cut_off() -> None:
    with running_engine(small(write_seconds=1)) as engine, Device().connect(engine.address) as connection:
        connection.sendall(b"GET /big?30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wait_for(lambda: engine.call(lambda: engine.hub.counters.timeouts) == 1)


def test_slow_head_is_cut_off_however_often_bytes_come() -> None:
    with running_engine(small(request_seconds=1)) as engine, Device().connect(engine.address) as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nX: ")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            drip(connection)
        assert engine.call(lambda: engine.hub.counters.timeouts) == 1


def test_slow_request_behind_an_answered_one_is_cut_off_too() -> None:
    with running_engine(small(request_seconds=1)) as engine, Device().connect(engine.address) as connection:
        connection.sendall(OK + b"\r\n" + b"GET /b HTTP/1.1\r\nX: ")
        assert read_reply(connection).status == 200
        with pytest.raises((ConnectionError, ssl.SSLError)):
            drip(connection)


def drip(connection: ssl.SSLSocket) -> None:
    for _ in range(100):
        connection.sendall(b"y")
        threading.Event().wait(0.1)


def test_idle_connection_is_closed_with_a_goodbye() -> None:
    with running_engine(small(idle_seconds=1)) as engine, Device().connect(engine.address) as connection:
        ask(connection)
        assert connection.recv(1) == b""


def test_request_resets_the_idle_time() -> None:
    with running_engine(small(idle_seconds=3)) as engine, Device().connect(engine.address) as connection:
        for _ in range(4):
            threading.Event().wait(1)
            assert ask(connection).status == 200


def test_connections_of_one_address_are_capped() -> None:
    with running_engine(small(connections_per_peer=2)) as engine:
        with Device().connect(engine.address) as first, Device().connect(engine.address) as second:
            assert ask(first).status == ask(second).status == 200
            with pytest.raises((ConnectionError, ssl.SSLError)):
                Device().get(engine.address)
        assert wait_for(lambda: engine.call(lambda: len(engine.hub)) == 0)
        assert Device().get(engine.address).status == 200


def test_connections_are_capped_in_all() -> None:
    with running_engine(small(connections=1)) as engine, Device().connect(engine.address) as first:
        assert ask(first).status == 200
        with pytest.raises((ConnectionError, ssl.SSLError)):
            Device().get(engine.address)


def test_flood_of_key_updates_is_cut_off() -> None:
    from tests.support.key_updates import flood_with_key_updates

    with running_engine() as engine:
        assert flood_with_key_updates(engine.address, 200_000) < 200_000
        assert wait_for(lambda: engine.call(lambda: len(engine.hub)) == 0)
        assert Device().get(engine.address).status == 200


def test_a_few_key_updates_are_fine(engine: RunningEngine) -> None:
    from tests.support.key_updates import flood_with_key_updates

    assert flood_with_key_updates(engine.address, 20) == 20


def test_stopping_lets_a_request_in_progress_end() -> None:
    with running_engine() as engine, Device().connect(engine.address) as connection:
        engine.call(lambda: setattr(engine.application, "slow", asyncio.Event()))
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wait_for(lambda: len(engine.application.requests) == 1)
        stopping = asyncio.run_coroutine_threadsafe(engine.engine.stop(grace_seconds=10), engine.loop)
        assert engine.application.slow is not None
        engine.call(engine.application.slow.set)
        reply = read_reply(connection)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        stopping.result(10)


def wait_for(condition: object, seconds: float = 8.0) -> bool:
    assert callable(condition)
    for _ in range(int(seconds * 50)):
        if condition():
            return True
        threading.Event().wait(0.02)
    return False
