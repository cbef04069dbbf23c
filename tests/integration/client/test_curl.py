"""Requests through curl with a key on a token: what arrives, what is believed, and what is too much."""

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ownroot.client.credentials import TokenCredentials
from ownroot.client.curl import CurlTransport
from ownroot.client.transport import ExchangeLimits
from ownroot.clock import utc_now
from ownroot.errors import OwnrootError
from ownroot.keystore.device_slots import DeviceSlots
from ownroot.pki.encoding import subject_der
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, gateway_tls
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm
from tests.support.tools import require_tool

NAME = "gw.localhost"
KEY, CERTIFICATE = b"\x07", b"\x09"


class Server:
    """Says the same octets to everybody; keeps what the last request was and what processes were told meanwhile."""

    port = 0
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    request = b""
    command_lines = b""


@pytest.fixture
def root() -> Pair:
    return factory_root(now=utc_now())


@pytest.fixture
def credentials(root: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenCredentials:
    hsm: SoftHsm = soft_hsm(tmp_path / "hsm")
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    slots = DeviceSlots(hsm.module, LABEL, PIN)
    made = device_certificate(device_ca(root, now=utc_now()), now=utc_now(), key=slots.find_or_create_key(KEY))
    slots.write_certificate(CERTIFICATE, made.der, subject=subject_der(made.certificate))
    slots.close()
    return TokenCredentials(module=hsm.module, token=LABEL, pin=PIN, key_id=KEY, certificate_id=CERTIFICATE)


@pytest.fixture
def server(root: Pair, tmp_path: Path) -> Iterator[Server]:
    with serving(gateway_tls(root, dns_names=(NAME,), now=utc_now()), tmp_path) as running:
        yield running


@contextmanager
def serving(identity: Pair, folder: Path) -> Iterator[Server]:
    """Serve until the end of the block, a connection at a time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(identity.pem.encode() + key)
    context.load_cert_chain(folder / "server.pem")
    running, listener = Server(), socket.create_server(("127.0.0.1", 0))
    running.port = listener.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as stream:
                    running.request = stream.recv(65536)
                    running.command_lines = b"".join(map(_words, Path("/proc").glob("[0-9]*/cmdline")))
                    stream.sendall(running.answer)
            except OSError:
                continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield running
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _words(file: Path) -> bytes:
    """Return the command line of a process that is curl; other tests may well run programs with a PIN in theirs."""
    try:
        words = file.read_bytes()
    except OSError:
        return b""
    return words if words.partition(b"\0")[0].endswith(b"curl") else b""


def transport(
    server: Server, root: Pair, credentials: TokenCredentials, folder: Path, name: str = NAME
) -> CurlTransport:
    (folder / "root.crt").write_text(root.pem)
    limits = ExchangeLimits(answer_bytes=1000)
    return CurlTransport(f"https://{name}:{server.port}", folder / "root.crt", credentials, limits)


def test_request_and_answer_arrive_whole_and_the_pin_is_in_no_command_line(
    server: Server, root: Pair, credentials: TokenCredentials, tmp_path: Path
) -> None:
    server.answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nA: 1\r\nA: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nab\n\r\n2\r\n\r\n\r\n0\r\n\r\n"
    )
    headers = {"x-ats-tags": 'a"b\\', "x-empty": ""}
    answer = transport(server, root, credentials, tmp_path).exchange("PUT", "/a[1]", body=b"\0@x\n", headers=headers)
    assert (answer.status, answer.headers["a"], answer.body) == (404, "1, 2", b"ab\n\r\n")
    assert server.request.startswith(b"PUT /a[1] HTTP/1.1\r\nHost: gw.localhost:")
    assert b'\r\nx-ats-tags: a"b\\\r\nx-empty:\r\n' in server.request
    assert b"curl" in server.command_lines
    assert PIN.encode() not in server.command_lines


def test_line_break_in_a_header_is_not_sent(
    server: Server, root: Pair, credentials: TokenCredentials, tmp_path: Path
) -> None:
    with pytest.raises(OwnrootError) as refused:
        transport(server, root, credentials, tmp_path).exchange("GET", "/", headers={"x-ats-tags": "a\nurl = evil"})
    assert (refused.value.code, server.request) == ("header-value", b"")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + 1001 * b"x", "answer-too-large"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + 1_000_000 * b"x", "answer-too-large"),
        (b"220 mail.example ESMTP\r\n", "not-http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "connection-lost"),
        (b"", "connection-lost"),
    ],
)
def test_odd_answer_has_its_name(
    server: Server, root: Pair, credentials: TokenCredentials, tmp_path: Path, answer: bytes, code: str
) -> None:
    server.answer = answer
    with pytest.raises(OwnrootError) as refused:
        transport(server, root, credentials, tmp_path).exchange("GET", "/")
    assert refused.value.code == code


def test_server_of_another_root_or_name_gets_no_request(
    server: Server, root: Pair, credentials: TokenCredentials, tmp_path: Path
) -> None:
    for pinned, name in ((factory_root(now=utc_now()), NAME), (root, "other.localhost")):
        with pytest.raises(OwnrootError) as refused:
            transport(server, pinned, credentials, tmp_path, name).exchange("GET", "/")
        assert refused.value.code == "server-not-trusted"
    assert server.request == b""


# --- a curl that hangs, as one does whose engine waits for a token ---------------------------------------------------

HANG = "sleep 1000000"  # in a process of its own, which keeps the pipe open
ANSWER = r"printf 'HTTP/1.1 200 OK\r\n\r\n{}'"


@pytest.mark.parametrize("does", [HANG, f"{ANSWER}\n{HANG}", f"exec >&-\n{HANG}"])
def test_curl_that_never_ends_is_ended(root: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    with pytest.raises(OwnrootError) as failed:
        through(does, root, tmp_path, monkeypatch, ExchangeLimits(total_seconds=0.5)).exchange("GET", "/device")
    assert failed.value.code == "no-answer"
    assert "the token, or what leads to it, may hang" in failed.value.detail


def test_curl_whose_engine_waits_for_ever_is_ended(
    server: Server, root: Pair, credentials: TokenCredentials, tmp_path: Path
) -> None:
    source, module = tmp_path / "hang.c", tmp_path / "hang.so"
    source.write_text("#include <unistd.h>\nunsigned long C_GetFunctionList(void **list) { for (;;) pause(); }\n")
    subprocess.run([require_tool("cc"), "-shared", "-fPIC", "-o", module, source], check=True)
    hanging, limits = replace(credentials, module=module), ExchangeLimits(total_seconds=2)
    (tmp_path / "root.crt").write_text(root.pem)
    with pytest.raises(OwnrootError) as failed:
        CurlTransport(f"https://{NAME}:{server.port}", tmp_path / "root.crt", hanging, limits).exchange("GET", "/")
    assert (failed.value.code, server.request) == ("no-answer", b"")
    assert "may hang" in failed.value.detail  # ended by us: curl's own limit says something else


def test_curl_that_ends_is_believed(root: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = through(ANSWER, root, tmp_path, monkeypatch, ExchangeLimits()).exchange("GET", "/device")
    assert (answer.status, answer.body) == (200, b"{}")


def through(
    does: str, root: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch, limits: ExchangeLimits
) -> CurlTransport:
    """Put a program in the place of curl."""
    (folder / "root.crt").write_text(root.pem)
    program = folder / "bin" / "curl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    nobody = TokenCredentials(module=folder, token=LABEL, pin=PIN, key_id=KEY, certificate_id=CERTIFICATE)
    return CurlTransport(f"https://{NAME}:1", folder / "root.crt", nobody, limits)
