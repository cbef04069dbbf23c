"""A server that was restored, and devices whose copies of their configuration are newer than all it knows."""

import shutil
from pathlib import Path

import pytest

from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair
from tests.support.enrolling import eventually
from tests.support.tls_device import Device, Reply, exchange
from tests.support.world import RunningServer, operate, running_server


def configure(server: RunningServer, value: str) -> None:
    document = {"reason": "", "files": [{"name": "greeting", "value": value}]}
    answer = server.call("PATCH", f"/ota/factories/{server.factory}/config/", document=document)
    assert answer.status_code == 200, answer.text


def ask(server: RunningServer, device: Pair, since: str) -> Reply:
    head = f"GET /config HTTP/1.1\r\nHost: gateway.localhost\r\nIf-Modified-Since: {since}\r\n\r\n"
    with Device(identity=device).connect(server.gateway_address) as connection:
        return exchange(connection, head.encode())


@pytest.mark.parametrize("is_restored", [True, False])
def test_newer_copy_is_replaced_by_what_the_server_knows_after_a_restore_alone(
    tmp_path: Path, is_restored: bool
) -> None:
    archive, data = tmp_path / "backup.tar", tmp_path / "new" / "data"
    with running_server(tmp_path, workers=1) as server:
        device = ApiOwner(server).register_pair("dev-1")
        configure(server, "old")
        eventually(lambda: "old" in ask(server, device, "never").text)
        first = ask(server, device, "never")
        server.run("backup", str(archive))
        configure(server, "new")
        eventually(lambda: "new" in ask(server, device, first.headers["date"]).text)
        since = ask(server, device, "never").headers["date"]
        eventually(lambda: ask(server, device, since).status == 304)
    if not is_restored:
        with running_server(tmp_path, workers=1, factory=None) as again:
            assert ask(again, device, since).status == 304
        return
    data.mkdir(mode=0o700, parents=True)
    shutil.copy2(server.data_dir / "kek", data / "kek")
    operate(data, "restore", str(archive))
    with running_server(data.parent, workers=1, factory=None) as again:
        answer = ask(again, device, since)
        assert (answer.status, "old" in answer.text) == (200, True)
        assert ask(again, device, answer.headers["date"]).status == 304
