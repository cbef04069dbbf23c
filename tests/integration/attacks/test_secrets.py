"""Where a key could be picked up: the environment of a part, the data directory, logs, answers."""

import base64
import os
import resource
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.device_csrs import new_key
from tests.support.world import PROGRAM, RunningServer, running_server

KEK = base64.b64encode(b"k" * 32).decode()


def children(server: RunningServer) -> list[Path]:
    task = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [Path("/proc") / pid for pid in task.read_text().split()]


def environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except PermissionError:  # not dumpable, and we are not root: nobody like us can read it
        return b""


@pytest.fixture(scope="module")
def exposed(tmp_path_factory) -> RunningServer:
    """A server whose key comes from the environment, started with a loose umask and few open files."""
    before, limits = os.umask(0), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, limits[1]), limits[1]))
    try:
        with running_server(tmp_path_factory.mktemp("open"), factory=None, environment={"OWNROOT_KEK": KEK}) as server:
            yield server
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.umask(before)


def test_no_part_holds_the_key_of_all_keys_in_its_environment(exposed):
    parts = children(exposed)
    assert len(parts) == 3
    for process in parts:
        assert KEK.encode() not in environment_of(process)


def test_every_part_may_open_more_sockets_than_a_few_strangers_can_hold(exposed):
    for process in children(exposed):
        limits = (process / "limits").read_text().splitlines()
        soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
        assert soft == hard


def test_no_file_of_a_server_is_writable_or_a_secret_readable_by_others(exposed):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in exposed.data_dir.iterdir()}
    assert modes.pop("serve.json") == 0o644
    assert modes == dict.fromkeys(modes, 0o600)
    assert stat.S_IMODE(exposed.data_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o1777])
def test_a_data_directory_that_others_may_write_to_stops_the_start(tmp_path, mode):
    tmp_path.chmod(mode)
    answer = start(tmp_path)
    assert answer.returncode != 0
    assert b'"data-directory-mode"' in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_a_link_to_somewhere_else_stops_the_start(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(KEK)
    elsewhere.chmod(0o600)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "kek").symlink_to(elsewhere)
    answer = start(data)
    assert answer.returncode != 0
    assert b'"kek-unreadable"' in answer.stderr
    assert KEK.encode() not in answer.stderr


def start(data: Path) -> "subprocess.CompletedProcess[bytes]":
    command = [PROGRAM, "factory", "create", "acme", "--data", str(data), "--json"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


def test_private_key_sent_by_mistake_is_neither_answered_nor_logged(server):
    secret = private_pem()
    scrap = secret.splitlines()[1]
    for method, path, document in (
        ("PATCH", "/ota/factories/acme/certs/", {"root-crt": secret}),
        ("PATCH", "/ota/factories/acme/certs/", {"ca-crt": f"-----BEGIN CERTIFICATE-----\n{scrap}\n" + secret}),
        ("POST", "/ota/devices/", {"csr": secret, "hardware-id": "board"}),
        ("POST", "/ota/devices/", {"csr": secret, "hardware-id": scrap}),
    ):
        answer = server.call(method, path, document=document)
        assert answer.status_code == 400
        assert scrap not in answer.text
    assert scrap not in server.log


def test_token_that_is_refused_is_neither_answered_nor_logged(server):
    token = "own_" + "S3cret-" * 6 + "x"
    answer = server.call("GET", "/ota/devices/", token=token, headers={"X-Request-Id": "attempt-with-secret"})
    assert answer.status_code == 401
    deadline = time.monotonic() + 5
    while "attempt-with-secret" not in server.log:  # the log is written behind the answer
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "S3cret" not in answer.text + server.log


def private_pem() -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
