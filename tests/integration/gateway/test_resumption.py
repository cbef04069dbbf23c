"""A saved session is worth nothing, whoever brings it back.

The trap: after a clean shutdown a device connects again with its saved session and *without a certificate*, and is
still taken for the device. So every test here first shows the certificate, says goodbye, and comes back bare.
"""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from tests.support.certificates import Pair
from tests.support.echo_engine import RunningEngine, running_engine
from tests.support.tools import require_tool

REQUEST = "GET /device HTTP/1.1\r\nHost: x\r\n\r\n"
VERSIONS = ["-tls1_2", "-tls1_3"]


def visit(engine: RunningEngine, *options: str) -> str:
    """One visit with OpenSSL's own client, ended by its close_notify."""
    command = [require_tool("openssl"), "s_client", "-connect", engine.target, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(REQUEST.encode())
    process.stdin.flush()
    output = b""
    while b"certificate=" not in output:
        line = process.stdout.readline()
        assert line, output.decode()
        output += line
    rest, _ = process.communicate(b"Q\n", timeout=10)
    return (output + rest).decode()


def write_identity(folder: Path, pair: Pair) -> tuple[str, str]:
    certificate, key = folder / "device.pem", folder / "device.key"
    certificate.write_text(pair.pem)
    key.write_bytes(pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(certificate), str(key)


def come_back_bare(engine: RunningEngine, folder: Path, version: str) -> str:
    certificate, key = write_identity(folder, engine.device())
    session = folder / "session.pem"
    first = visit(engine, version, "-cert", certificate, "-key", key, "-sess_out", str(session))
    assert "certificate=none" not in first
    # A TLS 1.2 server that keeps nothing gives the client nothing to save.
    saved = ["-sess_in", str(session)] if session.exists() else []
    return visit(engine, version, *saved)


@pytest.mark.parametrize("version", VERSIONS)
def test_saved_session_without_certificate_is_nobody(tmp_path: Path, version: str) -> None:
    with running_engine() as engine:
        for _ in range(4):
            again = come_back_bare(engine, tmp_path, version)
            assert "certificate=none" in again
            assert "Reused, TLS" not in again


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_visit_succeeds_where_sessions_are_kept(tmp_path: Path, version: str) -> None:
    """The twin: with the session cache left on, the old identity shows, so the test above can tell the difference."""

    def keep_sessions(context: SSL.Context) -> None:
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_session_id(b"twin")

    with running_engine(spoil=keep_sessions) as engine:
        again = come_back_bare(engine, tmp_path, version)
        assert "Reused, TLS" in again
        assert "certificate=none" not in again
