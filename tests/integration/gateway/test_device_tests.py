"""The rows of gateway.md §5 and §6.9: results of actions, over real connections."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.gateway_world import BASE_NAME, GatewayWorld, gateway_world
from tests.support.reporting import COMMAND_ID, device_tests_of, send
from tests.support.tls_device import Device

QUOTA = 100_000
TEST = f"/tests/{COMMAND_ID}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path_factory.mktemp("gateway"), report_quota_bytes=QUOTA) as running:
        yield running


@contextmanager
def connected(world: GatewayWorld, uuid: str) -> Iterator[ssl.SSLSocket]:
    with Device(identity=world.device(uuid)).connect(world.address) as connection:
        assert send(connection, "GET", "/device").status == 200
        yield connection


def start_body(**changes: Any) -> bytes:
    return json.dumps({"name": "reboot", "target": "fioconfig-action", "test-id": COMMAND_ID} | changes).encode()


def end_body(**changes: Any) -> bytes:
    members = {"status": "PASSED", "details": "", "artifacts": ["console.log"], "results": []}
    return json.dumps(members | changes).encode()


def begin(connection: ssl.SSLSocket, test_id: str = COMMAND_ID, artifacts: tuple[str, ...] = ("console.log",)) -> None:
    assert send(connection, "POST", "/tests", start_body(**{"test-id": test_id})).status == 201
    assert send(connection, "PUT", f"/tests/{test_id}", end_body(artifacts=artifacts)).status == 200


def test_an_action_reports_from_start_to_artifact(world: GatewayWorld) -> None:
    with connected(world, "acts") as connection:
        started = send(connection, "POST", "/tests", start_body(), x_ats_target="intel-7")
        assert (started.status, started.body) == (201, COMMAND_ID.encode())
        ended = send(connection, "PUT", TEST, end_body(), Host=f"{BASE_NAME}:8443")
        url = f"https://{BASE_NAME}:8443{TEST}/console.log"
        assert ended.status == 200
        assert json.loads(ended.body) == {"console.log": {"url": url, "content-type": "text/plain; charset=utf-8"}}
        put = send(connection, "PUT", f"{TEST}/console.log", b"\0bytes", Content_Type="text/plain; charset=utf-8")
        assert (put.status, put.body) == (200, b"")
    test, artifacts = device_tests_of(world, "acts")[COMMAND_ID]
    assert (test.name, test.target_name, test.status.value) == ("reboot", "intel-7", "PASSED")
    assert artifacts == {"console.log": 6}


def test_each_step_may_be_repeated_after_a_lost_answer(world: GatewayWorld) -> None:
    with connected(world, "repeats") as connection:
        for _ in range(2):
            begin(connection)
            assert send(connection, "PUT", f"{TEST}/console.log", b"abc").status == 200
        before = device_tests_of(world, "repeats")
        assert send(connection, "POST", "/tests", start_body(name="another")).body == COMMAND_ID.encode()
    assert device_tests_of(world, "repeats") == before
    assert before[COMMAND_ID][1] == {"console.log": 3}


@pytest.mark.parametrize("given", ["", None])
def test_device_without_an_id_is_given_one_that_fits_into_an_address(world: GatewayWorld, given: str | None) -> None:
    with connected(world, f"asks-{given}") as connection:
        started = send(connection, "POST", "/tests", start_body(**{"test-id": given}))
        assert started.status == 201
        assert send(connection, "PUT", f"/tests/{started.text}", end_body()).status == 200


LONG = "x" * 128
REFUSED = [
    ("POST", "/tests", start_body(name=""), 400, "test-name"),
    ("POST", "/tests", start_body(name="a\nb"), 400, "test-name"),
    ("POST", "/tests", start_body(**{"test-id": "short"}), 400, "test-id"),
    ("POST", "/tests", start_body(**{"test-id": "../../../etc/passwd"}), 400, "test-id"),
    ("POST", "/tests", start_body(**{"test-id": "x" * 49}), 400, "test-id"),
    ("POST", "/tests", b"[]", 400, "json-not-object"),
    ("POST", "/tests", b"[" * 90_000, 400, "bad-json"),
    ("GET", "/tests", b"", 405, ""),
    ("PUT", TEST, end_body(status="RUNNING"), 400, "test-status"),
    ("PUT", TEST, end_body(status="<b>"), 400, "test-status"),
    ("PUT", TEST, end_body(artifacts=["../x"]), 400, "artifact-name"),
    ("PUT", TEST, end_body(artifacts=["a/b"]), 400, "artifact-name"),
    ("PUT", TEST, end_body(artifacts=[".."]), 400, "artifact-name"),
    ("PUT", TEST, end_body(artifacts=["a\0"]), 400, "artifact-name"),
    ("PUT", TEST, end_body(artifacts=["%2e%2e%2fx"]), 400, "artifact-name"),
    ("PUT", TEST, end_body(artifacts=[LONG + "x"]), 400, "artifact-name"),
    ("PUT", TEST, end_body(artifacts=[f"a{number}" for number in range(21)]), 400, "too-many-artifacts"),
    ("PUT", TEST, end_body(artifacts="console.log"), 400, "bad-field"),
    ("PUT", "/tests/another-test-id-1", end_body(), 404, "test-unknown"),
    ("PUT", "/tests/%2e%2e%2f%2e%2e%2fetc", end_body(), 400, "test-id"),
    ("PUT", f"{TEST}/other.log", b"x", 404, "artifact-unknown"),
    ("PUT", f"{TEST}/%2e%2e", b"x", 400, "artifact-name"),
    ("PUT", f"{TEST}/..", b"x", 400, "artifact-name"),
    ("PUT", f"{TEST}/console.log/x", b"x", 404, ""),
    ("PUT", f"{TEST}/console.log", b"x" * (QUOTA + 1), 403, "artifact-quota"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
def test_what_is_refused_leaves_the_test_as_it_was(
    world: GatewayWorld, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    uuid = f"refused-{REFUSED.index((method, path, body, status, code))}"
    with connected(world, uuid) as connection:
        begin(connection)
        before = device_tests_of(world, uuid)
        reply = send(connection, method, path, body)
    assert reply.status == status
    assert not code or reply.text.partition(":")[0] == code
    assert device_tests_of(world, uuid) == before


def test_artifact_of_exactly_the_quota_and_the_longest_name_are_taken(world: GatewayWorld) -> None:
    with connected(world, "fits") as connection:
        begin(connection, artifacts=(LONG,))
        assert send(connection, "PUT", f"{TEST}/{LONG}", b"x" * QUOTA).status == 200


@pytest.mark.parametrize("host", ["evil.example", "192.0.2.1:8443", f"{BASE_NAME}.evil.example"])
def test_addresses_are_made_from_names_of_this_gateway_alone(world: GatewayWorld, host: str) -> None:
    with connected(world, f"host-{host.partition(':')[0]}") as connection:
        begin(connection)
        reply = send(connection, "PUT", TEST, end_body(), Host=host)
        assert (reply.status, reply.text.partition(":")[0]) == (400, "host-not-ours")
        ours = send(connection, "PUT", TEST, end_body(), Host=f"OSTREE.{BASE_NAME}:443")
        assert json.loads(ours.body)["console.log"]["url"] == f"https://OSTREE.{BASE_NAME}:443{TEST}/console.log"


def test_full_quota_drops_the_oldest_artifacts_first(world: GatewayWorld) -> None:
    ids = [f"action-number-{number:02}" for number in range(4)]
    with connected(world, "fills") as connection:
        for test_id in ids:
            begin(connection, test_id)
            assert send(connection, "PUT", f"/tests/{test_id}/console.log", b"x" * 40_000).status == 200
    held = {test_id: artifacts["console.log"] for test_id, (_, artifacts) in device_tests_of(world, "fills").items()}
    assert held == {ids[0]: None, ids[1]: None, ids[2]: 40_000, ids[3]: 40_000}


def test_one_device_cannot_touch_anothers_test(world: GatewayWorld) -> None:
    with connected(world, "mine") as mine, connected(world, "yours") as yours:
        begin(mine)
        assert send(yours, "PUT", TEST, end_body(status="FAILED")).status == 404
        assert send(yours, "PUT", f"{TEST}/console.log", b"x").status == 404
    assert device_tests_of(world, "mine")[COMMAND_ID][1] == {"console.log": None}


def test_last_fifty_tests_are_kept(world: GatewayWorld) -> None:
    ids = [f"action-number-{number:02}" for number in range(52)]
    with connected(world, "often") as connection:
        for test_id in ids:
            assert send(connection, "POST", "/tests", start_body(**{"test-id": test_id})).status == 201
    assert list(device_tests_of(world, "often")) == ids[:1:-1]
