"""`ownroot serve` as its operator sees it: what it says, what it refuses, and that it leaves nothing behind."""

import json
import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from tests.support.openssl_owner import OpensslOwner
from tests.support.tools import require_own_address
from tests.support.world import PROGRAM, RunningServer, operate, running_server, stop


def children_of(pid: int) -> list[int]:
    """Processes whose parent is this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == pid:
                found.append(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def refused_start(folder: Path, *options: str, environment: dict[str, str] | None = None) -> str:
    """Start a server that must not start; returns what it said."""
    command = [PROGRAM, "serve", "--data", str(folder / "data"), "--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, *options], capture_output=True, timeout=60, check=False, env=os.environ | (environment or {})
    )
    assert done.returncode != 0
    assert not (folder / "data" / "serve.json").exists()
    return done.stderr.decode() + done.stdout.decode()


def test_it_says_where_it_listens_and_cleans_up_behind_itself(tmp_path):
    with running_server(tmp_path, workers=2) as server:
        assert f"api listening on {server.api_url}\n" in server.log
        host, port = server.gateway_address
        assert f"gateway listening on {host}:{port} (2 workers) as gateway.localhost\n" in server.log
        assert httpx2.get(f"{server.api_url}/readyz", trust_env=False).status_code == 200
        with socket.create_connection(server.gateway_address, timeout=5):
            pass
        family = children_of(server.process.pid)
        assert len(family) == 3
    assert server.process.returncode == 0
    assert not any(is_running(pid) for pid in family)
    assert not (server.data_dir / "serve.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_of_it_within_seconds(tmp_path, number):
    with running_server(tmp_path, workers=1, factory=None) as server:
        family = children_of(server.process.pid)
        started = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 8
        assert not any(is_running(pid) for pid in family)


def test_nothing_outlives_a_killed_supervisor(tmp_path):
    with running_server(tmp_path, workers=1, factory=None) as server:
        family = children_of(server.process.pid)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(is_running(pid) for pid in family))


def test_a_part_that_dies_is_started_again(tmp_path):
    with running_server(tmp_path, workers=2) as server:
        family = children_of(server.process.pid)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(children_of(server.process.pid)) & set(family))
        wait_until(lambda: len(children_of(server.process.pid)) == 3)
        assert server.call("GET", "/ota/factories/acme/certs/").status_code == 206
        assert "a part of the server died" in server.log


def admin_pages(server: RunningServer) -> list[str]:
    """Where the gateway workers answer their operator."""
    report = json.loads((server.data_dir / "serve.json").read_bytes())
    return [f"http://{address}" for address in report["gateway-admin"]]


def readiness(server: RunningServer) -> tuple[int, str]:
    answer = httpx2.get(f"{server.api_url}/readyz", trust_env=False, timeout=10)
    return answer.status_code, answer.json().get("code", "")


def test_each_worker_shows_its_own_readiness_and_metrics(tmp_path):
    with running_server(tmp_path, workers=2) as server:
        pages = admin_pages(server)
        assert len(set(pages)) == 2
        for page in pages:
            ready = httpx2.get(f"{page}/readyz", trust_env=False)
            assert (ready.status_code, ready.text) == (200, "ready\n")
            assert "ownroot_gateway_connections " in httpx2.get(f"{page}/metrics", trust_env=False).text


def test_a_gateway_worker_that_hangs_makes_the_server_unready_until_it_goes_on(tmp_path):
    with running_server(tmp_path, workers=2, factory=None) as server:
        assert readiness(server) == (200, "")
        worker = max(children_of(server.process.pid))
        os.kill(worker, signal.SIGSTOP)
        try:
            wait_until(lambda: readiness(server) == (503, "gateway-not-ready"))
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_until(lambda: readiness(server) == (200, ""))


def test_a_worker_comes_back_at_the_admin_address_it_had(tmp_path):
    with running_server(tmp_path, workers=1, factory=None) as server:
        (page,) = admin_pages(server)
        worker = max(children_of(server.process.pid))
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: readiness(server) == (503, "gateway-not-ready"))
        wait_until(lambda: readiness(server) == (200, ""))
        assert httpx2.get(f"{page}/readyz", trust_env=False).text == "ready\n"


def test_no_part_of_it_dumps_core(tmp_path):
    with running_server(tmp_path, workers=1, factory=None) as server:
        for pid in [server.process.pid, *children_of(server.process.pid)]:
            limits = Path(f"/proc/{pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"]


def test_json_ready_prints_one_line_of_json(tmp_path):
    command = [PROGRAM, "serve", "--data", str(tmp_path), "--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]
    with subprocess.Popen([*command, "--json-ready"], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            report = json.loads(process.stdout.readline())
            assert json.loads((tmp_path / "serve.json").read_bytes()) == report
        finally:
            stop(process)
        assert report["pid"] == process.pid
        assert process.stdout.read() == b""


def test_one_directory_serves_one_server(tmp_path):
    with running_server(tmp_path, part="api", factory=None):
        said = refused_start(tmp_path)
    assert "data-directory-in-use" in said


def test_a_taken_port_is_refused_even_from_another_server_of_ours(tmp_path):
    with running_server(tmp_path / "a", workers=1, factory=None) as server:
        host, port = server.gateway_address
        assert "address-unusable" in refused_start(tmp_path / "b", "--gateway", f"{host}:{port}")


def test_plain_http_beyond_loopback_is_refused_with_the_reason(tmp_path):
    said = refused_start(tmp_path, "--api", "0.0.0.0:0")
    assert "api-exposed" in said
    assert "--api-tls" in said


def test_with_a_certificate_it_serves_tls(tmp_path):
    pki = OpensslOwner(tmp_path, "acme")
    root = pki.make_root()
    pki.make_server("api", "api.localhost")
    options = ("--api", "0.0.0.0:0", "--api-tls", str(tmp_path / "api.pem"), str(tmp_path / "api.key"))
    with running_server(tmp_path / "server", part="api", options=options) as server:
        port = server.api_url.rpartition(":")[2]
        assert b"HTTP/1.1 200" in get_health(int(port), ssl.create_default_context(cadata=root))
        assert b"HTTP/1.1 200" not in get_health(int(port), None)


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path):
    pki = OpensslOwner(tmp_path, "acme")
    pki.make_root()
    pki.make_server("api", "api.localhost")
    said = refused_start(tmp_path, "--api-tls", str(tmp_path / "api.pem"), str(tmp_path / "root.key"))
    assert "api-tls-unusable" in said
    assert "api-tls-unusable" in refused_start(tmp_path, "--api-tls", "/none.pem", str(tmp_path / "api.key"))


def get_health(port: int, trust: ssl.SSLContext | None) -> bytes:
    """Ask for `/healthz` as `api.localhost`, over TLS or in clear; returns what came back."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        connection = plain if trust is None else trust.wrap_socket(plain, server_hostname="api.localhost")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: api.localhost\r\nConnection: close\r\n\r\n")
        answer = connection.recv(1000)
        connection.close()
        return answer


def status_at(host: str, server: RunningServer) -> int:
    """Ask for `/healthz` at another address of the same listener."""
    port = int(server.api_url.rpartition(":")[2])
    return httpx2.get(f"http://{host}:{port}/healthz", trust_env=False).status_code


def test_behind_a_proxy_loopback_is_answered_and_others_are_refused(tmp_path):
    own = require_own_address()
    options = ("--api", "0.0.0.0:0", "--behind-proxy", "203.0.113.0/24")
    with running_server(tmp_path, part="api", factory=None, options=options) as server:
        assert status_at("127.0.0.1", server) == 200
        assert status_at(own, server) == 403


def test_the_proxy_itself_is_answered(tmp_path):
    own = require_own_address()
    options = ("--api", "0.0.0.0:0", "--behind-proxy", own)
    with running_server(tmp_path, part="api", factory=None, options=options) as server:
        assert status_at(own, server) == 200


def test_the_gateway_name_is_fixed_by_the_first_start(tmp_path):
    with running_server(tmp_path, part="api", options=("--gateway-name", "gw.example.com")) as server:
        assert server.create_factory("second")["gateway-name"] == "second.gw.example.com"
    with running_server(tmp_path, part="api", factory=None) as server:
        assert server.create_factory("third")["gateway-name"] == "third.gw.example.com"
    said = refused_start(tmp_path, "--gateway-name", "other.example.com")
    assert "gateway-name-fixed" in said


def test_the_first_factory_has_the_base_name_and_no_second_is_default(tmp_path):
    data = tmp_path / "data"
    assert operate(data, "factory", "create", "acme")["gateway-name"] == "gateway.localhost"
    with pytest.raises(AssertionError, match="default-factory-exists"):
        operate(data, "factory", "create", "beta", "--default")


def test_a_factory_that_moves_here_keeps_its_name_and_brings_its_host(tmp_path):
    made = operate(tmp_path / "data", "factory", "create", "Old Factory (1)", "--gateway-name", "gw.old.example")
    assert (made["factory"], made["gateway-name"]) == ("Old Factory (1)", "gw.old.example")


def test_a_lost_key_encryption_key_stops_the_start(tmp_path):
    operate(tmp_path / "data", "factory", "create", "acme")
    (tmp_path / "data" / "kek").unlink()
    assert "kek-missing" in refused_start(tmp_path)
    assert "sealed-unreadable" in refused_start(tmp_path, environment={"OWNROOT_KEK": "QUFB" * 10 + "QUE="})


def test_a_readable_key_encryption_key_stops_the_start(tmp_path):
    operate(tmp_path / "data", "factory", "create", "acme")
    (tmp_path / "data" / "kek").chmod(0o644)
    assert "kek-mode" in refused_start(tmp_path)


def test_a_restart_finds_everything_again(tmp_path):
    with running_server(tmp_path, workers=1) as first:
        token = first.owner_token
    with running_server(tmp_path, workers=1, factory=None) as second:
        assert second.call("GET", "/ota/factories/acme/users/self/", token=token).status_code == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system of its own can be mounted by root alone")
def test_a_full_disk_is_503_with_a_message_and_ends_when_there_is_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        with running_server(disk, part="api") as server:
            _fill(disk, server)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _fill(disk: Path, server: RunningServer) -> None:
    path, asked = "/ota/factories/acme/certs/", {"tls-csr": True}
    assert server.call("POST", path, document=asked).status_code == 201
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 4096):
                pass
        except OSError:
            pass
    answers = [server.call("POST", path, document=asked) for _ in range(40)]
    full = [answer for answer in answers if answer.status_code == 503]
    assert full
    assert all(answer.json()["message"] and int(answer.headers["retry-after"]) > 0 for answer in full)
    assert server.call("GET", path).status_code == 206
    ballast.unlink()
    assert server.call("POST", path, document=asked).status_code == 201
