"""`ownroot doctor` through the real program, against a real server."""

import json
from pathlib import Path

from tests.support.owner import Owner
from tests.support.relay import Instead, Relay


def _codes(owner: Owner, *options: str | Path) -> tuple[int, set[str]]:
    done = owner.run("doctor", "--json", *options)
    return done.code, {finding["code"] for finding in json.loads(done.out)["findings"]}


def test_a_factory_on_the_shared_pki_is_told_how_to_take_over(owner: Owner) -> None:
    done = owner.run("doctor")
    assert done.code == 0
    assert "ownroot keys ca create DIR" in done.out


def test_a_fresh_pki_has_no_faults_and_its_root_is_recognised(taken: Owner, pki: Path) -> None:
    assert _codes(taken, "--pki-dir", pki) == (0, {"device-ca-without-devices"})


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
    assert lines[-1].endswith("0 faults, 2 warnings.")


def test_a_server_that_fails_is_an_error_and_no_diagnosis(taken: Owner, relay: Relay) -> None:
    relay.spoil = lambda _request: Instead(503, b'{"message":"later"}')
    done = taken.run("doctor", "--json")
    assert (done.code, done.out) == (9, "")
