"""The transport on real sockets: limits, redirects, names under .localhost."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ownroot.client.transport import ExchangeLimits, Transport
from ownroot.errors import InvalidInputError, OwnrootError, UnavailableError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def scripted(*pieces: bytes, pause: float = 0.0, keep_open: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """Accept one connection, read the head of a request and send these pieces, one every `pause` seconds."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(65536))
            for piece in pieces:
                try:
                    connection.sendall(piece)
                except OSError:
                    return
                if done.wait(pause):
                    return
            if keep_open:
                done.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        done.set()
        thread.join()
        listener.close()


def _exchange(url: str, limits: ExchangeLimits | None = None) -> str:
    with Transport(url, tls=ssl.create_default_context(), limits=limits or ExchangeLimits()) as transport:
        return transport.exchange("GET", "/x").text


def _failure(url: str, limits: ExchangeLimits | None = None) -> OwnrootError:
    with pytest.raises(OwnrootError) as failure:
        _exchange(url, limits)
    return failure.value


def test_name_under_localhost_goes_to_loopback_with_its_own_host() -> None:
    # RFC 6761 §6.3; no name server is asked, and there is none that knows this name.
    with scripted(OK) as (port, seen):
        assert _exchange(f"http://acme.gateway.localhost:{port}") == "ok"
    assert f"Host: acme.gateway.localhost:{port}\r\n".lower() in seen[0].decode().lower()


def test_name_that_only_looks_like_localhost_is_not_sent_there() -> None:
    with scripted(OK, keep_open=True) as (port, seen):
        error = _failure(f"http://localhost.invalid:{port}", ExchangeLimits(connect_seconds=2))
        assert error.code == "no-connection"
        assert seen == []
        socket.create_connection(("127.0.0.1", port)).close()


def test_proxy_of_the_environment_is_not_used_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with scripted(OK) as (port, _seen):
        assert _exchange(f"http://127.0.0.1:{port}") == "ok"


def test_redirect_is_an_answer_and_not_followed() -> None:
    redirect = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    with (
        scripted(redirect) as (port, _seen),
        Transport(f"http://127.0.0.1:{port}", tls=ssl.create_default_context()) as transport,
    ):
        assert transport.exchange("POST", "/x", body=b"{}").status == 307


def test_server_that_never_answers_is_given_up() -> None:
    with scripted(keep_open=True) as (port, _seen):
        error = _failure(f"http://127.0.0.1:{port}", ExchangeLimits(silence_seconds=0.3))
    assert isinstance(error, UnavailableError)
    assert error.code == "no-answer"


def test_answer_that_only_trickles_is_given_up() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    with scripted(head, *([b"x"] * 90), pause=0.05) as (port, _seen):
        error = _failure(f"http://127.0.0.1:{port}", ExchangeLimits(silence_seconds=5, total_seconds=0.4))
    assert error.code == "no-answer"


def test_answer_without_end_is_given_up() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with scripted(head, b"x" * 1_000_000) as (port, _seen):
        error = _failure(f"http://127.0.0.1:{port}", ExchangeLimits(answer_bytes=1000))
    assert isinstance(error, InvalidInputError)
    assert error.code == "answer-too-large"


def test_compressed_answer_counts_at_its_full_size() -> None:
    import gzip

    packed = gzip.compress(b"\0" * 5_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    with scripted(head, packed) as (port, _seen):
        assert _failure(f"http://127.0.0.1:{port}", ExchangeLimits(answer_bytes=100_000)).code == "answer-too-large"


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ((b"220 mail.example.test\r\n\r\n",), "not-http"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",), "connection-lost"),
        ((b"",), "connection-lost"),
        ((b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",), "not-http"),
    ],
)
def test_what_is_no_whole_answer_is_an_error(pieces: tuple[bytes, ...], code: str) -> None:
    with scripted(*pieces) as (port, _seen):
        assert _failure(f"http://127.0.0.1:{port}").code == code


def test_tls_to_a_plain_server_is_said_in_words() -> None:
    with scripted(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _seen):
        assert _failure(f"https://127.0.0.1:{port}").code == "tls-failed"


def test_nobody_there_names_the_address() -> None:
    error = _failure("http://127.0.0.1:9")
    assert error.code == "no-connection"
    assert "127.0.0.1:9" in error.detail
