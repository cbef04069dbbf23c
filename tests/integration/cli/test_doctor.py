"""`ownroot doctor` through the real program, against a real server."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.owner import Owner
from tests.support.relay import Instead, Relay
from tests.support.world import RunningServer


def _codes(owner: Owner, *options: str | Path) -> tuple[int, set[str]]:
    done = owner.run("doctor", "--json", *options)
    return done.code, {finding["code"] for finding in json.loads(done.out)["findings"]}


def test_a_factory_on_the_shared_pki_is_told_how_to_take_over(owner: Owner) -> None:
    done = owner.run("doctor")
    assert done.code == 0
    assert "ownroot keys ca create DIR" in done.out


def test_a_fresh_pki_has_no_faults_and_its_root_is_recognised(taken: Owner, pki: Path) -> None:
    assert _codes(taken, "--pki-dir", pki) == (0, {"device-ca-without-devices"})


def test_keys_that_others_may_read_are_a_fault(taken: Owner, pki: Path) -> None:
    (pki / "factory_ca.key").chmod(0o644)
    code, found = _codes(taken, "--pki-dir", pki)
    assert (code, "keys-exposed" in found) == (11, True)


def test_another_directorys_root_is_a_fault(taken: Owner, taken_elsewhere: Path) -> None:
    code, found = _codes(taken, "--pki-dir", taken_elsewhere)
    assert code == 11
    assert "root-not-yours" in found


def test_a_directory_without_a_root_is_an_error_and_no_diagnosis(taken: Owner, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = taken.run("doctor", "--pki-dir", empty, "--json")
    assert (done.code, done.out) == (6, "")


def test_a_disabled_online_ca_is_told_of(taken: Owner, pki: Path) -> None:
    done = taken.run("keys", "ca", "disable-device-ca", pki, "--ca-file", "online-crt", "--yes")
    assert done.code == 0, done.err
    code, found = _codes(taken)
    assert code == 0
    assert "no-online-ca" in found


def test_the_window_of_warnings_can_be_widened(taken: Owner) -> None:
    assert "last-safe-day-near" not in _codes(taken)[1]
    assert "last-safe-day-near" in _codes(taken, "--within", "20000")[1]


def test_people_get_a_line_for_what_is_so_and_one_for_what_to_do(taken: Owner) -> None:
    lines = taken.run("doctor").out.splitlines()
    assert lines[0].startswith("WARNING: No device that the server knows came with a certificate of the ")
    assert "revoke-device-ca" in lines[1]
    assert lines[-1].endswith("0 faults, 1 warning.")


def test_a_server_that_fails_is_an_error_and_no_diagnosis(taken: Owner, relay: Relay) -> None:
    relay.spoil = lambda _request: Instead(503, b'{"message":"later"}')
    done = taken.run("doctor", "--json")
    assert (done.code, done.out) == (9, "")


def test_a_key_that_the_server_lost_is_a_fault_and_so_is_one_of_another_key(
    taken: Owner, server: RunningServer
) -> None:
    before = json.loads(taken.run("doctor", "--json").out)
    assert [key["fault"] for key in before["server"]["keys"]] == [None, None]
    online, tls = (str(key["serial"]) for key in before["server"]["keys"])
    with closing(sqlite3.connect(server.data_dir / "ownroot.db")) as database, database:
        swap = "UPDATE sealed_keys SET sealed = zeroblob(64) WHERE scope = ? AND purpose = 'ca' AND NOT pending"
        drop = "DELETE FROM sealed_keys WHERE scope = ? AND kind = 'tls'"
        (scope,) = database.execute("SELECT id FROM factories WHERE name = ?", (server.factory,)).fetchone()
        assert [database.execute(statement, (scope,)).rowcount for statement in (swap, drop)] == [1, 1]
    done = taken.run("doctor")
    assert done.code == 11
    assert f"FAULT: The server cannot sign with the key of the online device CA (serial {online})" in done.out
    assert "sealed-unreadable" in done.out
    assert f"gateway TLS certificate (serial {tls})" in done.out
    assert "key-missing" in done.out


def test_people_are_told_how_fast_revocations_were(taken: Owner) -> None:
    assert "Time to revoke: " in taken.run("doctor").out


def test_a_server_of_another_make_is_not_asked_more_than_it_knows(taken: Owner, relay: Relay) -> None:
    relay.spoil = lambda request: Instead(404, b"{}") if request.path.endswith("/certs/health/") else None
    done = taken.run("doctor")
    assert done.code == 0
    assert "does not offer it" in done.out


def test_a_member_without_the_right_is_not_told_of_keys(server: RunningServer) -> None:
    path = f"/ota/factories/{server.factory}/certs/health/"
    assert server.call("GET", path).status_code == 200
    assert server.call("GET", path, token=server.create_token("devices:read", user="somebody")).status_code == 403
    assert server.call("GET", path, token=None).status_code == 401
