"""The whole server on PostgreSQL: the same programs, told by one option."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.browsing import Browser
from tests.support.device_flow import ask
from tests.support.oauth_forms import ask_token
from tests.support.openssl_owner import OpensslOwner
from tests.support.postgres import PostgresCluster, running_postgres
from tests.support.world import PROGRAM, RunningServer, running_server

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with running_postgres() as started:
        yield started


def test_a_factory_is_made_and_taken_over(cluster: PostgresCluster, tmp_path: Path) -> None:
    options = ("--database", cluster.make_database())
    with running_server(tmp_path, workers=1, options=options, factory=None) as started:
        made = started.run("factory", "create", "acme", *options)
        path, token = "/ota/factories/acme/certs/", made["token"]
        assert started.call("GET", path, token=token).status_code == 206
        csrs = started.call("POST", path, token=token).json()
        owner = OpensslOwner(tmp_path, "acme")
        upload = {
            "root-crt": owner.make_root(),
            "tls-crt": owner.sign_tls(csrs["tls-csr"]),
            "ca-crt": owner.sign_ca(csrs["ca-csr"]),
        }
        assert started.call("PATCH", path, token=token, document=upload).status_code == 200
        assert started.call("PATCH", path, token=token, document=upload).status_code == 200
        assert started.call("GET", path, token=token).status_code == 200
        for name in ("/ota/factories/a%00b/certs/", "/ota/factories/acme/users/%F0%9F%92%A9/"):
            assert started.call("GET", name, token=token).status_code == 404


def test_a_client_logs_in_and_a_device_is_allowed_on_the_page(cluster: PostgresCluster, tmp_path: Path) -> None:
    options = ("--database", cluster.make_database())
    with running_server(tmp_path, part="api", options=options, factory=None) as started:
        started.run("factory", "create", "acme", *options)
        made = started.run("client", "create", "-f", "acme", "--scope", "devices:read", *options)
        secrets = {"client_id": made["client-id"], "client_secret": made["client-secret"]}
        first = ask_token(started, grant_type="client_credentials", **secrets).json
        again = ask_token(started, grant_type="refresh_token", refresh_token=first["refresh_token"], **secrets)
        assert again.status == 200

        make_person(started, "ada", *options)
        device, browser = ask(replace(started, factory="acme")), Browser(started)
        shown = browser.sign_in("ada", PASSWORD, device.codes["user_code"])
        assert browser.post("/activate/device/", shown.hidden | {"decision": "allow"}).status == 200
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: device.poll(), range(20)))
        (token,) = [answer.json["access_token"] for answer in answers if answer.status == 200]
        assert device.register(token)[0] == 201


def make_person(server: RunningServer, name: str, *options: str) -> None:
    """Make a member who signs in with a password."""
    command = [PROGRAM, "user", "create", name, "--data", str(server.data_dir), *options]
    subprocess.run(command, input=PASSWORD, text=True, capture_output=True, timeout=60, check=True)
    server.run("member", "add", "-f", "acme", "--user", name, "--role", "member", *options)
