"""Connections that a stranger would hold for ever: every one of them ends by a limit of time."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import uvicorn

from ownroot.web.listener import BoundedHttp, server_options

PAGE = b"x" * 100_000


class HurriedHttp(BoundedHttp):
    """The listener with limits a test can wait for."""

    head_seconds = 0.3
    leftover_seconds = 0.3
    write_seconds = 0.5


async def page(scope, receive, send):
    """Answers without reading the body, as every refusal does."""
    headers = [(b"content-length", str(len(PAGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    bound = socket.create_server(("127.0.0.1", 0))
    options = server_options() | {"http": HurriedHttp, "timeout_keep_alive": 1}
    server = uvicorn.Server(uvicorn.Config(page, **options))
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        yield bound.getsockname()
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with serving() as where:
        yield where


def connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(5)
    connection.connect(address)
    return connection


def read_page(connection: socket.socket) -> None:
    got = b""
    while not got.endswith(PAGE):
        got += connection.recv(65536)


def is_cut_off_while_sending(connection: socket.socket, piece: bytes) -> bool:
    """Send a little at a time and read nothing, until that fails or has gone well for much longer than any limit."""
    for _ in range(100):
        time.sleep(0.05)
        try:
            connection.sendall(piece)
        except ConnectionError:
            return True
    return False


def test_rest_of_a_body_that_only_drips_in_after_the_answer_is_cut_off(address):
    with closing(connect(address)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        read_page(connection)
        assert is_cut_off_while_sending(connection, b"x")


def test_rest_of_a_body_that_comes_in_time_keeps_the_connection(address):
    with closing(connect(address)) as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
            read_page(connection)
            connection.sendall(b"xyz")


def test_answers_nobody_takes_end_the_connection(address):
    with closing(connect(address)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        assert is_cut_off_while_sending(connection, b"G")


def test_answers_that_are_taken_slowly_arrive_whole(address):
    with closing(connect(address)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = 0
        while piece := connection.recv(4096):
            got += len(piece)
        assert got > len(PAGE)


def test_pipelined_answers_to_a_connection_that_is_gone_leave_no_traceback(address, caplog):
    with closing(connect(address)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        assert is_cut_off_while_sending(connection, b"G")
    with closing(connect(address)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_page(connection)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
