import os
import socket
from pathlib import Path

import pytest

from ownroot.web.socket_paths import socket_address


def _meet(path: Path) -> bytes:
    """Bind at a path, connect to it by its address, and say a word."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with socket_address(path) as address:
            server.bind(address)
        server.listen()
        with socket_address(path) as address:
            client.connect(address)
        connection, _ = server.accept()
        with connection:
            client.sendall(b"word")
            return connection.recv(4)


def test_path_of_any_length_can_be_bound_and_connected_to(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    before = os.listdir("/proc/self/fd")

    assert _meet(deep / "issuing.sock") == b"word"
    assert (deep / "issuing.sock").is_socket()
    assert os.listdir("/proc/self/fd") == before


def test_short_path_is_its_own_address() -> None:
    with socket_address(Path("/run/ownroot/issuing.sock")) as address:
        assert address == "/run/ownroot/issuing.sock"


def test_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), socket_address(tmp_path / ("d" * 120) / "issuing.sock"):
        pass
