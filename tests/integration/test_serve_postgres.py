"""The whole server on PostgreSQL: the same programs, told by one option."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.openssl_owner import OpensslOwner
from tests.support.postgres import PostgresCluster, running_postgres
from tests.support.world import running_server


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
