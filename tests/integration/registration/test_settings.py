"""`[registration]` of the settings file, in a whole server: what it lets in, and what it keeps out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.registration.test_post_devices import new_uuid, request
from tests.support.api_owner import ApiOwner
from tests.support.certificates import Pair
from tests.support.customer_api import wait_for
from tests.support.device_csrs import device_csr
from tests.support.tls_device import Device
from tests.support.world import RunningServer, running_server


@contextmanager
def serving(folder: Path, line: str) -> Iterator[RunningServer]:
    file = folder / "ownroot.toml"
    file.write_text(f"[registration]\n{line}\n")
    with running_server(folder, workers=1, options=("--config", str(file))) as server:
        yield server


def register_production(server: RunningServer, **changes: object) -> tuple[int, str]:
    uuid = new_uuid()
    csr = device_csr(uuid, production=True)
    answer = server.call("POST", "/ota/devices/", document=request(uuid, csr=csr, **changes))
    return answer.status_code, answer.json().get("code", "")


def visit(server: RunningServer, device: Pair) -> int:
    return Device(identity=device).get(server.gateway_address, Host=server.gateway_name).status


def test_production_devices_are_for_the_groups_of_the_file(tmp_path: Path) -> None:
    with serving(tmp_path, 'production = ["line-1"]') as server:
        for name in ("line-1", "lab"):
            made = server.call("POST", f"/ota/factories/{server.factory}/device-groups/", document={"name": name})
            assert made.is_success, made.text
        assert register_production(server, group="line-1") == (201, "")
        assert register_production(server, group="lab") == (403, "production-forbidden")
        assert register_production(server) == (403, "production-forbidden")


@pytest.mark.parametrize(("line", "lets_in"), [("", False), ('reregister = "if-never-seen"', True)])
def test_other_key_of_a_device_that_was_never_seen(tmp_path: Path, line: str, lets_in: bool) -> None:
    with serving(tmp_path, line) as server:
        uuid = new_uuid()
        assert server.call("POST", "/ota/devices/", document=request(uuid)).status_code == 201
        again = server.call("POST", "/ota/devices/", document=request(uuid))
        assert again.status_code == (201 if lets_in else 409)
        assert lets_in or "registered it with another key on" in again.json()["message"]


def test_replaced_device_is_cut_at_the_gateway_and_the_new_one_is_served(tmp_path: Path) -> None:
    with serving(tmp_path, 'reregister = "replace"') as server:
        owner = ApiOwner(server)
        old = owner.register_pair("d-1")
        assert visit(server, old) == 200
        new = owner.register_pair("d-1")
        assert visit(server, new) == 200
        assert visit(server, old) == 403


def test_device_that_was_seen_is_not_replaced_by_if_never_seen(tmp_path: Path) -> None:
    with serving(tmp_path, 'reregister = "if-never-seen"') as server:
        owner = ApiOwner(server)
        device = owner.register_pair("d-1")
        assert visit(server, device) == 200
        path = f"/ota/devices/d-1/?by-uuid=1&factory={server.factory}"
        wait_for(lambda: server.call("GET", path).json()["last-seen"])  # check-ins are written in batches
        again = server.call("POST", "/ota/devices/", document=request("d-1"))
        assert (again.status_code, again.json()["code"]) == (409, "device-uuid-taken")
        assert visit(server, device) == 200
