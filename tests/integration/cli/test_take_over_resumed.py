"""A take-over that was cut at any point is finished by the next run, with the same root."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.openssl_owner import OpensslOwner
from tests.support.owner import PROGRAM, Owner
from tests.support.relay import Fault, Instead, Relay
from tests.support.world import RunningServer

FILES = ["factory_ca.key", "factory_ca.pem", "local-ca.key", "local-ca.pem", "online-crt", "tls-crt"]


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("GET", "certs/", Instead(503, b"<html>")),
        ("GET", "users/self/", Fault.LOST_ON_THE_WAY),
        ("GET", "/ota/devices/", Instead(200, b"[]")),
        ("POST", "certs/", Fault.LOST_ON_THE_WAY),
        ("POST", "certs/", Fault.ANSWER_LOST),
        ("POST", "certs/", Fault.GARBAGE),
        ("POST", "certs/", Instead(503, b"<html>")),
        ("POST", "certs/", Instead(200, b"{}")),
        ("POST", "certs/", Instead(201, b'{"tls-csr":"-----BEGIN CERTIFICATE REQUEST-----"}')),
    ],
)
def test_failure_before_the_upload_leaves_no_key(
    owner: Owner, relay: Relay, pki: Path, method: str, path: str, fault: Fault | Instead
) -> None:
    relay.spoil_once(method, path, fault)
    failed = owner.run("keys", "ca", "create", pki)
    assert failed.code in (3, 9)
    assert "Traceback" not in failed.err
    assert not pki.exists() or os.listdir(pki) == []
    assert owner.run("keys", "ca", "create", pki).code == 0


def test_upload_that_never_arrived_is_sent_again_as_it_is(owner: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    assert owner.run("keys", "ca", "create", pki).code == 9
    before = _contents(pki)
    resumed = owner.run("keys", "ca", "create", pki, "--json").json
    assert resumed["resumed"] is True
    assert _contents(pki) == before
    assert [line.split()[0] for line in relay.lines] == ["GET"] * 3 + ["POST", "PATCH"] + ["GET"] * 3 + ["PATCH"]
    assert relay.requests[4].body == relay.requests[8].body


def test_upload_whose_answer_was_lost_is_found_done(owner: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.ANSWER_LOST)
    failed = owner.run("keys", "ca", "create", pki)
    assert failed.code == 9
    assert "may or may not have been carried out" in failed.err
    assert owner.run("keys", "ca", "create", pki, "--json").json["already-done"] is True


def test_upload_refused_for_keys_the_server_dropped_is_signed_anew_with_the_same_root(
    owner: Owner, relay: Relay, pki: Path
) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    owner.run("keys", "ca", "create", pki)
    before = _contents(pki)
    relay.spoil_once("PATCH", "certs/", Instead(400, b'{"message":"No such key is pending.","code":"tls-key-unknown"}'))
    resumed = owner.run("keys", "ca", "create", pki)
    assert resumed.code == 0, resumed.err
    after = _contents(pki)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"tls-crt", "online-crt"}
    assert json.loads(relay.requests[-1].body)["root-crt"].encode() == before["factory_ca.pem"]


@pytest.mark.parametrize("missing", ["tls-crt", "online-crt", "local-ca.pem", "factory_ca.pem"])
def test_run_cut_before_this_file_goes_on_from_the_same_keys(
    owner: Owner, relay: Relay, pki: Path, missing: str
) -> None:
    order = ["factory_ca.key", "factory_ca.pem", "tls-crt", "online-crt", "local-ca.key", "local-ca.pem"]
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    owner.run("keys", "ca", "create", pki)
    before = _contents(pki)
    for name in order[order.index(missing) :]:
        if not (name == "local-ca.key" and missing == "local-ca.pem"):
            (pki / name).unlink()
    left = set(os.listdir(pki))
    assert owner.run("keys", "ca", "create", pki).code == 0
    after = _contents(pki)
    assert sorted(after) == FILES
    assert all(after[name] == before[name] for name in left if name.endswith((".key", ".pem")))


def test_run_killed_at_random_moments_never_makes_a_second_root(owner: Owner, pki: Path) -> None:
    roots = set()
    for step in range(12):
        process = subprocess.Popen(
            [PROGRAM, "keys", "ca", "create", str(pki)],
            env=os.environ | owner.environment | {"OWNROOT_CONFIG": str(owner.settings_file)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.15 + 0.03 * step)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (pki / "factory_ca.key").exists():
            roots.add((pki / "factory_ca.key").read_bytes())
    done = owner.run("keys", "ca", "create", pki)
    assert done.code == 0, done.err
    roots.add((pki / "factory_ca.key").read_bytes())
    assert len(roots) == 1
    assert sorted(os.listdir(pki)) == FILES


def test_leftovers_of_a_power_cut_are_swept_and_other_hidden_files_are_not(owner: Owner, pki: Path) -> None:
    pki.mkdir(mode=0o700)
    (pki / ".factory_ca.key.ab12_xyz").write_text("half a key")
    (pki / ".git").mkdir()
    (pki / ".notes").write_text("mine")
    assert owner.run("keys", "ca", "create", pki).code == 0
    assert sorted(os.listdir(pki)) == sorted([*FILES, ".git", ".notes"])


def test_factory_taken_over_by_another_root_is_refused_before_anything_is_made(
    owner: Owner, relay: Relay, pki: Path
) -> None:
    assert owner.run("keys", "ca", "create", pki).code == 0
    relay.requests.clear()
    second = owner.run("keys", "ca", "create", pki.with_name("second"), "--json")
    assert (second.code, second.error["code"]) == (7, "already-taken-over")
    assert not pki.with_name("second").exists()
    assert [line.split()[0] for line in relay.lines] == ["GET"]


def test_existing_root_key_is_used_and_never_overwritten(owner: Owner, pki: Path, tmp_path: Path) -> None:
    OpensslOwner(tmp_path, owner.environment["OWNROOT_FACTORY"]).make_root()
    pki.mkdir()
    key = shutil.copy(tmp_path / "root.key", pki / "factory_ca.key")
    before = Path(key).read_bytes()
    assert owner.run("keys", "ca", "create", pki).code == 0
    assert (pki / "factory_ca.key").read_bytes() == before


@pytest.mark.parametrize("curve", ["prime256v1", "secp521r1"])
def test_root_made_with_openssl_is_taken_as_it_is(owner: Owner, pki: Path, tmp_path: Path, curve: str) -> None:
    OpensslOwner(tmp_path, owner.environment["OWNROOT_FACTORY"], curve=curve).make_root()
    pki.mkdir()
    shutil.copy(tmp_path / "root.key", pki / "factory_ca.key")
    shutil.copy(tmp_path / "root.pem", pki / "factory_ca.pem")
    done = owner.run("keys", "ca", "create", pki)
    assert done.code == 0, done.err
    assert owner.run("keys", "ca", "show", "--just-root").out == (tmp_path / "root.pem").read_text()


def test_root_of_another_factory_is_refused(owner: Owner, relay: Relay, pki: Path, tmp_path: Path) -> None:
    OpensslOwner(tmp_path, "other").make_root()
    pki.mkdir()
    shutil.copy(tmp_path / "root.key", pki / "factory_ca.key")
    shutil.copy(tmp_path / "root.pem", pki / "factory_ca.pem")
    _refused_untouched(owner, relay, pki, "pki-directory-other-factory")


def test_key_and_certificate_that_do_not_belong_together_are_refused(
    owner: Owner, relay: Relay, pki: Path, tmp_path: Path
) -> None:
    maker = OpensslOwner(tmp_path, owner.environment["OWNROOT_FACTORY"])
    maker.make_root()
    maker.make_root(name="second")
    pki.mkdir()
    shutil.copy(tmp_path / "root.pem", pki / "factory_ca.pem")
    shutil.copy(tmp_path / "second.key", pki / "factory_ca.key")
    _refused_untouched(owner, relay, pki, "pki-directory-mixed")


def test_certificate_of_another_root_in_the_directory_is_refused(
    owner: Owner, server: RunningServer, relay: Relay, pki: Path
) -> None:
    other = server.for_factory(server.factory + "-twin")
    theirs = owner.at(server.api_url, factory=other.factory, token=other.owner_token)
    assert theirs.run("keys", "ca", "create", pki).code == 0
    mixed = pki.with_name("mixed")
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    owner.run("keys", "ca", "create", mixed)
    (mixed / "tls-crt").unlink()
    shutil.copy(pki / "tls-crt", mixed / "tls-crt")
    relay.requests.clear()
    _refused_untouched(owner, relay, mixed, "pki-directory-mixed")


def test_root_certificate_without_its_key_is_refused(owner: Owner, relay: Relay, pki: Path, tmp_path: Path) -> None:
    OpensslOwner(tmp_path, owner.environment["OWNROOT_FACTORY"]).make_root()
    pki.mkdir()
    shutil.copy(tmp_path / "root.pem", pki / "factory_ca.pem")
    _refused_untouched(owner, relay, pki, "pki-directory-incomplete")


@pytest.mark.parametrize(("content", "code"), [("", "key-unreadable"), ("-----BEGIN", "key-unreadable")])
def test_broken_root_key_is_refused_and_kept(
    owner: Owner, relay: Relay, pki: Path, tmp_path: Path, content: str, code: str
) -> None:
    OpensslOwner(tmp_path, owner.environment["OWNROOT_FACTORY"]).make_root()
    pki.mkdir()
    shutil.copy(tmp_path / "root.pem", pki / "factory_ca.pem")
    (pki / "factory_ca.key").write_text(content)
    _refused_untouched(owner, relay, pki, code)


def test_directory_that_cannot_be_written_is_refused_before_the_server_makes_keys(
    owner: Owner, relay: Relay, pki: Path
) -> None:
    pki.mkdir(mode=0o500)
    done = owner.run("keys", "ca", "create", pki, "--json", bound_by_modes=True)
    assert (done.code, done.error["code"]) == (8, "pki-directory-unwritable")
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_root_key_that_may_not_be_read_is_refused(owner: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    owner.run("keys", "ca", "create", pki)
    (pki / "factory_ca.key").chmod(0)
    done = owner.run("keys", "ca", "create", pki, "--json", bound_by_modes=True)
    assert (done.code, done.error["code"]) == (8, "key-unreadable")


def test_disk_without_room_is_noticed_before_the_server_makes_keys(owner: Owner, relay: Relay, pki: Path) -> None:
    done = owner.run("keys", "ca", "create", pki, "--json", largest_file_bytes=1024)
    assert (done.code, done.error["code"]) == (8, "pki-directory-unwritable")
    assert os.listdir(pki) == []
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_second_run_in_the_same_directory_is_refused_while_the_first_works(
    owner: Owner, relay: Relay, pki: Path
) -> None:
    pki.mkdir()
    descriptor = os.open(pki, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        done = owner.run("keys", "ca", "create", pki, "--json")
    finally:
        os.close(descriptor)
    assert (done.code, done.error["code"]) == (7, "pki-directory-busy")
    assert os.listdir(pki) == []
    assert owner.run("keys", "ca", "create", pki).code == 0


def test_older_server_that_answers_200_with_nothing_in_it_is_not_taken_over(
    owner: Owner, relay: Relay, pki: Path
) -> None:
    relay.spoil_once("GET", "certs/", Instead(200, b'{"root-crt":null,"tls-crt":null,"ca-crt":null}'))
    assert owner.run("keys", "ca", "create", pki).code == 0


def test_file_in_place_of_the_directory_is_refused(owner: Owner, relay: Relay, pki: Path) -> None:
    (pki.parent / "file").write_text("")
    done = owner.run("keys", "ca", "create", pki.parent / "file" / "pki", "--json")
    assert done.code in (3, 8)
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_key_that_others_may_read_is_pointed_out(owner: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    owner.run("keys", "ca", "create", pki)
    (pki / "factory_ca.key").chmod(0o644)
    done = owner.run("keys", "ca", "create", pki)
    assert done.code == 0
    assert "can be read by others" in done.err


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def _refused_untouched(owner: Owner, relay: Relay, pki: Path, code: str) -> None:
    before = _contents(pki)
    done = owner.run("keys", "ca", "create", pki, "--json")
    assert done.error["code"] == code
    assert _contents(pki) == before
    assert not [line for line in relay.lines if not line.startswith("GET")]
