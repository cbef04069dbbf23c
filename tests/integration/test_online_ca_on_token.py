"""Online CA keys on a token, through real servers and SoftHSM2: made, used and destroyed, whatever comes between."""

import base64
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from cryptography import x509

from tests.support.api_owner import REVOKE, ApiOwner, accept, code_of
from tests.support.device_csrs import device_csr
from tests.support.openssl_checks import openssl
from tests.support.owner import Owner
from tests.support.postgres import PostgresCluster, running_postgres
from tests.support.registration_server import RegistrationServer, registration_server
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm_of_programs
from tests.support.world import RunningServer, operate, running_server

WRONG_PIN = "271828182"
UUIDS = [str(UUID(int=number)) for number in range(1, 10)]


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    return soft_hsm_of_programs(tmp_path / "hsm", monkeypatch, pin_variable="OWNROOT_ONLINE_CA_PIN")


@pytest.fixture
def settings(tmp_path: Path, hsm: SoftHsm) -> Path:
    file = tmp_path / "ownroot.toml"
    file.write_text(f'[online_ca]\nmodule = "{hsm.module}"\ntoken_label = "{LABEL}"\n')
    return file


def served(folder: Path, settings: Path | None, **more):
    options = [] if settings is None else ["--config", str(settings)]
    return running_server(folder, part="api", options=options, **more)


@pytest.fixture
def server(tmp_path: Path, settings: Path) -> Iterator[RunningServer]:
    with served(tmp_path, settings) as running:
        yield running


@pytest.fixture
def owner(server: RunningServer) -> ApiOwner:
    """An owner who has taken over."""
    owner = ApiOwner(server)
    owner.take_over()
    return owner


def online_ca(owner: ApiOwner) -> x509.Certificate:
    return x509.load_pem_x509_certificates(owner.get()["ca-crt"].encode())[-1]


def readiness(server: RunningServer) -> tuple[int, str]:
    answer = server.call("GET", "/readyz", token=None)
    return answer.status_code, answer.json().get("message", "")


def eventually(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError(f"not so in 20 s: {what}")


def rows(data_dir: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(data_dir / "ownroot.db")) as connection:
        return connection.execute(query).fetchall()


# --- made and used on the token -------------------------------------------------------------------------------------


def test_a_factory_is_taken_over_and_devices_verify_under_its_root(
    server: RunningServer, hsm: SoftHsm, tmp_path: Path
) -> None:
    pki = tmp_path / "pki"
    (tmp_path / "home").mkdir()
    person = Owner(tmp_path / "home").at(server.api_url, factory=server.factory, token=server.owner_token)
    assert person.run("keys", "ca", "create", pki, "--yes").code == 0
    answer = accept(
        server.call("POST", "/ota/devices/", document={"csr": device_csr(UUIDS[0]), "hardware-id": "test"})
    ).json()
    (tmp_path / "client.pem").write_text(answer["client.pem"])
    openssl("verify", "-x509_strict", "-CAfile", pki / "factory_ca.pem", "-untrusted", pki / "online-crt",
            tmp_path / "client.pem")  # fmt: skip
    (label,) = hsm.labels()
    assert re.fullmatch(r"ownroot:[0-9a-f]{16}:acme:online-ca", label)
    shown = hsm.pkcs11_tool("--list-objects", "--type", "privkey")
    assert "sensitive, always sensitive, never extractable, local" in shown
    assert "Usage:      sign\n" in shown


def test_the_id_is_long_and_known_to_the_database_alone(owner: ApiOwner, server: RunningServer, hsm: SoftHsm) -> None:
    ((key_id,),) = rows(server.data_dir, "SELECT token_key_id FROM sealed_keys WHERE token_key_id IS NOT NULL")
    assert len(key_id) == 16
    assert f"ID:         {key_id.hex()}" in hsm.pkcs11_tool("--list-objects", "--type", "privkey")


def test_without_the_setting_the_token_stays_empty(tmp_path: Path, hsm: SoftHsm) -> None:
    with served(tmp_path, None) as server:
        owner = ApiOwner(server)
        owner.take_over()
        accept(owner.register(UUIDS[0]))
    assert hsm.labels() == []


def test_keys_of_before_the_setting_go_on_and_only_new_ones_are_on_the_token(
    tmp_path: Path, settings: Path, hsm: SoftHsm
) -> None:
    with served(tmp_path, None) as server:
        owner = ApiOwner(server)
        owner.take_over()
    with served(tmp_path, settings, factory=None) as again:
        owner.server = replace(again, factory=server.factory, owner_token=server.owner_token)
        sealed = online_ca(owner)
        accept(owner.register(UUIDS[0]))
        assert hsm.labels() == []
        owner.replace_online_ca()
        assert online_ca(owner) != sealed
        accept(owner.register(UUIDS[1]))
        assert len(hsm.labels()) == 1


def test_with_the_setting_gone_its_keys_are_missed_by_name(owner: ApiOwner, tmp_path: Path, settings: Path) -> None:
    with served(tmp_path / "other", None):
        pass  # a server without such keys misses nothing
    before = owner.server
    before.process.terminate()
    before.process.wait(20)
    with served(tmp_path, None, factory=None) as server:
        owner.server = replace(server, factory=before.factory, owner_token=before.owner_token)
        refused = owner.register(UUIDS[0])
        assert code_of(refused) == (503, "online-ca-token-missing")
        assert "[online_ca]" in refused.json()["message"]
        assert readiness(server)[0] == 503
        assert "online-ca-token-missing" in readiness(server)[1]
        eventually(lambda: "keys of online CAs cannot be used" in server.log, "the log says so")
    with served(tmp_path, settings, factory=None) as server:
        owner.server = replace(server, factory=before.factory, owner_token=before.owner_token)
        accept(owner.register(UUIDS[0]))
        assert readiness(server)[0] == 200


# --- who knows the PIN ----------------------------------------------------------------------------------------------


def test_the_pin_is_in_no_environment_command_line_or_log(tmp_path: Path, settings: Path) -> None:
    with running_server(tmp_path, workers=1, options=["--config", str(settings)]) as server:
        ApiOwner(server).take_over()
        supervisor = server.process.pid
        parts = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        assert len(parts) == 2
        for part in parts:
            assert PIN.encode() not in Path(f"/proc/{part}/environ").read_bytes()
            assert PIN.encode() not in Path(f"/proc/{part}/cmdline").read_bytes()
        assert PIN not in server.log


def test_no_gateway_worker_loads_the_module_and_the_api_does(tmp_path: Path, settings: Path, hsm: SoftHsm) -> None:
    with running_server(tmp_path, workers=2, options=["--config", str(settings)]) as server:
        ApiOwner(server).take_over()
        supervisor = server.process.pid
        parts = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        loaded = [hsm.module.name in Path(f"/proc/{part}/maps").read_text() for part in parts]
        assert sorted(loaded) == [False, False, True]


def test_the_pin_may_come_from_a_file_that_is_ours_alone(
    tmp_path: Path, settings: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OWNROOT_ONLINE_CA_PIN")
    pin_file = settings.with_name("pin")
    pin_file.write_text(f"{PIN}\n")
    settings.write_text(settings.read_text() + 'pin_file = "pin"\n')
    pin_file.chmod(0o640)
    with pytest.raises(AssertionError, match="chmod 600"), served(tmp_path, settings):
        pass
    pin_file.chmod(0o600)
    with served(tmp_path, settings) as server:
        ApiOwner(server).take_over()
    assert len(hsm.labels()) == 1


def test_a_gateway_on_its_own_wants_no_pin_and_an_api_does(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OWNROOT_ONLINE_CA_PIN")
    options = ["--config", str(settings)]
    with running_server(tmp_path, part="gateway", workers=1, options=options, factory=None):
        pass
    with pytest.raises(AssertionError, match="OWNROOT_ONLINE_CA_PIN is empty"), served(tmp_path, settings):
        pass


def test_a_wrong_pin_is_tried_once_and_stops_nothing_else(
    tmp_path: Path, settings: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWNROOT_ONLINE_CA_PIN", WRONG_PIN)
    with served(tmp_path, settings) as server:
        owner = ApiOwner(server)
        accept(owner.register(UUIDS[0]))  # by the shared PKI, whose keys are not on the token
        assert "pin-incorrect" in readiness(server)[1]
        hsm.pkcs11_tool("--change-pin", "--new-pin", WRONG_PIN)  # now it would be the right one
        asked = {"first-time-init": True, "tls-csr": True, "ca-csr": True, "est-tls-csr": False}
        assert code_of(server.call("POST", owner.path, document=asked)) == (503, "pin-incorrect")
        owner.csrs("tls-csr", first=True)
        assert "refused the PIN" in server.log
        assert WRONG_PIN not in server.log
        assert rows(server.data_dir, "SELECT * FROM token_key_intents") == []


# --- the token goes and comes ---------------------------------------------------------------------------------------


def test_a_token_that_was_away_serves_again_and_left_nothing_half_done(
    owner: ApiOwner, server: RunningServer, hsm: SoftHsm
) -> None:
    accept(owner.register(UUIDS[0]))
    assert readiness(server)[0] == 200
    hsm.remove()
    refused = owner.register(UUIDS[1])
    assert code_of(refused) == (503, "token-gone")
    assert int(refused.headers["retry-after"]) > 0
    assert LABEL not in refused.text
    eventually(lambda: readiness(server)[0] == 503, "not ready without the token")
    assert "token-gone" in readiness(server)[1]
    assert rows(server.data_dir, "SELECT * FROM issuances WHERE state = 0") == []
    asked = {"first-time-init": False, "ca-csr": True, "tls-csr": False, "est-tls-csr": False}
    assert code_of(server.call("POST", owner.path, document=asked)) == (503, "token-gone")
    assert rows(server.data_dir, "SELECT * FROM token_key_intents") == []
    hsm.put_back()
    accept(owner.register(UUIDS[1]))
    eventually(lambda: readiness(server)[0] == 200, "ready with the token")
    assert LABEL in server.log  # the operator is told which token it is
    assert len(hsm.labels()) == 1


def test_a_server_starts_without_its_token_and_finds_it_later(tmp_path: Path, settings: Path, hsm: SoftHsm) -> None:
    hsm.remove()
    with served(tmp_path, settings) as server:
        assert "token-unknown" in readiness(server)[1]
        hsm.put_back()
        ApiOwner(server).take_over()
        eventually(lambda: readiness(server)[0] == 200, "ready with the token")


# --- destroyed there ------------------------------------------------------------------------------------------------


def test_a_replaced_key_is_off_the_token_when_the_answer_is_there(owner: ApiOwner, hsm: SoftHsm) -> None:
    first = hsm.pkcs11_tool("--list-objects", "--type", "privkey")
    owner.replace_online_ca()
    second = hsm.pkcs11_tool("--list-objects", "--type", "privkey")
    assert (len(hsm.labels()), len(hsm.labels("pubkey"))) == (1, 1)
    assert first != second
    accept(owner.register(UUIDS[0]))


def test_a_revoked_key_is_off_the_token_when_the_answer_is_there(owner: ApiOwner, hsm: SoftHsm) -> None:
    hsm.make_key("root-ca", "01")
    hsm.make_key("ownroot:0123456789abcdef:acme:online-ca", "02")  # another server's
    accept(owner.order(online_ca(owner), reason=REVOKE))
    others = ["ownroot:0123456789abcdef:acme:online-ca", "root-ca"]
    assert (hsm.labels(), hsm.labels("pubkey")) == (others, others)


def test_a_disabled_key_stays(owner: ApiOwner, hsm: SoftHsm) -> None:
    accept(owner.order(online_ca(owner), reason=x509.ReasonFlags.certificate_hold))
    assert len(hsm.labels()) == 1


def test_a_key_revoked_while_the_token_is_away_goes_with_the_next_change(
    owner: ApiOwner, server: RunningServer, hsm: SoftHsm
) -> None:
    hsm.remove()
    accept(owner.order(online_ca(owner), reason=REVOKE))
    assert "keys to be destroyed are still on the token" in server.log
    hsm.put_back()
    assert len(hsm.labels()) == 1
    owner.csrs("tls-csr")
    assert hsm.labels() == []


def test_only_the_newest_pending_keys_are_on_the_token(owner: ApiOwner, hsm: SoftHsm) -> None:
    for _ in range(6):
        owner.csrs("ca-csr")
    assert len(hsm.labels()) == 1 + 4


# --- crashes --------------------------------------------------------------------------------------------------------

# An insert that takes longer than any test: whoever adds a key of a token stays inside the transaction.
_HOLD = """
CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n;
CREATE TRIGGER hold BEFORE INSERT ON sealed_keys WHEN NEW.token_key_id IS NOT NULL BEGIN
    SELECT count(*) FROM many AS a, many AS b, many AS c WHERE a.i + b.i + c.i < 0;
END;
"""


def hold_commits_of_token_keys(data_dir: Path) -> None:
    with closing(sqlite3.connect(data_dir / "ownroot.db", timeout=30)) as connection:
        connection.executescript(_HOLD)


def let_go(data_dir: Path) -> None:
    with closing(sqlite3.connect(data_dir / "ownroot.db", timeout=30)) as connection:
        connection.executescript("DROP TRIGGER hold; DROP TABLE many;")


def ask_in_vain(server: RegistrationServer, owner: ApiOwner) -> threading.Thread:
    def ask() -> None:
        with suppress(httpx2.HTTPError, AssertionError):
            ApiOwner(server.world).csrs("ca-csr", "tls-csr", first=True)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_a_server_killed_between_making_a_key_and_committing_it_leaves_no_orphan(
    tmp_path: Path, settings: Path, hsm: SoftHsm
) -> None:
    with registration_server(tmp_path, ["--config", str(settings)]) as server:
        hold_commits_of_token_keys(server.data)
        asking = ask_in_vain(server, ApiOwner(server.world))
        eventually(lambda: len(hsm.labels()) == 1, "the key is made")
        server.kill()
        asking.join(30)
        assert len(hsm.labels()) == 1
        assert len(rows(server.data, "SELECT * FROM token_key_intents")) == 1
        let_go(server.data)
        server.restart()
        eventually(lambda: hsm.labels() == [], "the orphan is swept")
        assert rows(server.data, "SELECT * FROM token_key_intents") == []
        owner = ApiOwner(replace(server.world, factory="acme", owner_token=server.token))
        owner.take_over()
        assert len(hsm.labels()) == 1


# --- several servers on one database --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with running_postgres() as started:
        yield started


def test_two_servers_on_one_database_take_no_key_of_each_other(
    cluster: PostgresCluster, settings: Path, hsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWNROOT_KEK", base64.b64encode(bytes(32)).decode())
    address = cluster.make_database()
    more = ["--config", str(settings), "--database", address]

    def serve(name: str):
        return running_server(tmp_path / name, part="api", options=more, factory=None)

    with serve("one") as one, serve("two") as two:
        owners = []
        for server, name in ((one, "first"), (two, "second")):
            made = one.run("factory", "create", name, "--config", str(settings), "--database", address)
            owners.append(ApiOwner(replace(server, factory=name, owner_token=made["token"])))

        def replace_all_day(owner: ApiOwner) -> None:
            owner.take_over()
            for number in range(6):
                owner.replace_online_ca()
                accept(owner.register(f"{owner.server.factory}-{number}"))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(replace_all_day, owners))
        assert [label.split(":")[2] for label in hsm.labels()] == ["first", "second"]
        for owner in owners:
            accept(owner.register(f"{owner.server.factory}-last"))
        assert "destroyed keys on the token" in one.log + two.log


def test_a_server_killed_between_a_revocation_and_the_token_destroys_the_key_at_its_start(
    tmp_path: Path, settings: Path, hsm: SoftHsm
) -> None:
    with registration_server(tmp_path, ["--config", str(settings)]) as server:
        owner = ApiOwner(server.world)
        owner.take_over()
        hsm.remove()
        accept(owner.order(online_ca(owner), reason=REVOKE))
        server.kill()
        hsm.put_back()
        assert len(hsm.labels()) == 1
        server.restart()
        eventually(lambda: hsm.labels() == [], "the key of the revoked CA is destroyed")


# --- copies of the database -----------------------------------------------------------------------------------------


def test_a_restored_copy_uses_the_keys_and_destroys_none_of_the_living_server(
    owner: ApiOwner, server: RunningServer, settings: Path, hsm: SoftHsm, tmp_path: Path
) -> None:
    operate(server.data_dir, "backup", str(tmp_path / "backup.tar"))
    owner.replace_online_ca()  # the copy does not know of this key
    copy = tmp_path / "copy"
    (copy / "data").mkdir(mode=0o700, parents=True)
    (copy / "data" / "kek").write_bytes((server.data_dir / "kek").read_bytes())
    (copy / "data" / "kek").chmod(0o600)
    operate(copy / "data", "restore", str(tmp_path / "backup.tar"))
    with served(copy, settings, factory=None) as restored:
        as_there = ApiOwner(replace(restored, factory=server.factory, owner_token=server.owner_token))
        assert code_of(as_there.register(UUIDS[0])) == (503, "key-gone")
        assert "key-gone" in readiness(restored)[1]
        new = ApiOwner(restored.for_factory("second"))
        new.take_over()
        accept(new.order(online_ca(new), reason=REVOKE))
        assert len(hsm.labels()) == 1
    accept(owner.register(UUIDS[1]))
