"""`ownroot keys ca rotate-tls` through the real program: a new key at once, the old file kept, never half."""

import json
import os
import signal
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.openssl_checks import is_issued_by, openssl
from tests.support.owner import PROGRAM, Owner
from tests.support.relay import Fault, Instead, Relay
from tests.support.world import RunningServer

FILES = ["factory_ca.key", "factory_ca.pem", "local-ca.key", "local-ca.pem", "online-crt", "tls-crt"]


def rotate(owner: Owner, pki: Path) -> None:
    done = owner.run("keys", "ca", "rotate-tls", pki)
    assert done.code == 0, done.err


def served(owner: Owner) -> str:
    return owner.run("keys", "ca", "show", "--just-tls").out


def test_rotation_asks_signs_and_sends_the_certificate_alone(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.requests.clear()
    rotate(taken, pki)
    assert [line.split()[0] for line in relay.lines] == ["GET", "POST", "PATCH"]
    asked = {"first-time-init": False, "ca-csr": False, "est-tls-csr": False, "tls-csr": True}
    assert json.loads(relay.requests[1].body) == asked
    assert json.loads(relay.requests[2].body) == {"tls-crt": (pki / "tls-crt").read_text()}


def test_old_certificate_is_kept_beside_the_new_one(taken: Owner, pki: Path) -> None:
    before = (pki / "tls-crt").read_bytes()
    rotate(taken, pki)
    assert (pki / "tls-crt.bak").read_bytes() == before
    assert (pki / "tls-crt").read_text() == served(taken)
    assert sorted(os.listdir(pki)) == sorted([*FILES, "tls-crt.bak"])
    assert (pki / "tls-crt").stat().st_mode & 0o777 == 0o400


def test_openssl_accepts_the_new_certificate_and_its_key_is_new(taken: Owner, pki: Path) -> None:
    rotate(taken, pki)
    assert is_issued_by(pki / "tls-crt", pki / "factory_ca.pem", purpose="sslserver")
    keys = {openssl("x509", "-in", pki / name, "-noout", "-pubkey") for name in ("tls-crt", "tls-crt.bak")}
    assert len(keys) == 2


def test_gateway_shows_the_new_certificate_to_new_connections(taken: Owner, server: RunningServer, pki: Path) -> None:
    rotate(taken, pki)
    new = ssl.PEM_cert_to_DER_cert((pki / "tls-crt").read_text())
    deadline = time.monotonic() + 10
    while (shown := _shown_certificate(server)) != new and time.monotonic() < deadline:
        pass
    assert shown == new


def test_rotation_can_be_repeated_and_every_one_makes_another_key(taken: Owner, pki: Path) -> None:
    seen = set()
    for _ in range(3):
        rotate(taken, pki)
        seen.add((pki / "tls-crt").read_bytes())
    assert len(seen) == 3


def test_lost_answer_is_looked_up_and_the_rotation_is_done(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.ANSWER_LOST)
    done = taken.run("keys", "ca", "rotate-tls", pki)
    assert done.code == 0, done.err
    assert "answer was lost" in done.err
    assert (pki / "tls-crt").read_text() == served(taken)


def test_upload_that_never_arrived_changes_nothing_and_is_finished_by_the_next_run(
    taken: Owner, relay: Relay, pki: Path
) -> None:
    before = (pki / "tls-crt").read_bytes()
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    assert taken.run("keys", "ca", "rotate-tls", pki).code == 9
    assert (pki / "tls-crt").read_bytes() == before
    staged = (pki / "tls-crt.new").read_text()
    done = taken.run("keys", "ca", "rotate-tls", pki, "--json").json
    assert done["tls"]["resumed"] is True
    assert served(taken) == (pki / "tls-crt").read_text() == staged
    assert sorted(os.listdir(pki)) == sorted([*FILES, "tls-crt.bak"])


def test_answer_lost_with_the_line_is_found_done_by_the_next_run(taken: Owner, relay: Relay, pki: Path) -> None:
    cut = False

    def spoil(request: object) -> Fault | None:
        nonlocal cut
        if getattr(request, "method", "") == "PATCH":
            cut = True
            return Fault.ANSWER_LOST
        return Fault.LOST_ON_THE_WAY if cut else None

    relay.spoil = spoil
    assert taken.run("keys", "ca", "rotate-tls", pki).code == 9
    relay.spoil = lambda _request: None
    relay.requests.clear()
    assert taken.run("keys", "ca", "rotate-tls", pki, "--json").json["tls"]["resumed"] is True
    assert [line.split()[0] for line in relay.lines] == ["GET"]
    assert (pki / "tls-crt").read_text() == served(taken)


def test_certificate_the_server_no_longer_takes_is_made_anew(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    taken.run("keys", "ca", "rotate-tls", pki)
    staged = (pki / "tls-crt.new").read_text()
    relay.spoil_once("PATCH", "certs/", Instead(400, b'{"message":"No such key is pending.","code":"tls-key-unknown"}'))
    done = taken.run("keys", "ca", "rotate-tls", pki, "--json").json
    assert done["tls"]["resumed"] is False
    assert staged != (pki / "tls-crt").read_text() == served(taken)


def test_refused_certificate_leaves_the_old_one_in_place(taken: Owner, relay: Relay, pki: Path) -> None:
    before = (pki / "tls-crt").read_bytes()
    relay.spoil_once("PATCH", "certs/", Instead(403, b'{"message":"No.","code":"role-missing"}'))
    assert taken.run("keys", "ca", "rotate-tls", pki, "--json").error["code"] == "role-missing"
    assert (pki / "tls-crt").read_bytes() == before
    assert not (pki / "tls-crt.bak").exists()


def test_run_killed_at_random_moments_never_loses_the_certificate_in_service(taken: Owner, pki: Path) -> None:
    for step in range(10):
        process = subprocess.Popen(
            [PROGRAM, "keys", "ca", "rotate-tls", str(pki)],
            env=os.environ | taken.environment | {"OWNROOT_CONFIG": str(taken.settings_file)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.2 + 0.03 * step)
        process.send_signal(signal.SIGKILL)
        process.wait()
        in_service, kept = served(taken), {(pki / "tls-crt").read_text()}
        kept |= {(pki / "tls-crt.new").read_text()} if (pki / "tls-crt.new").exists() else set()
        assert in_service in kept
    rotate(taken, pki)
    assert (pki / "tls-crt").read_text() == served(taken)
    assert sorted(os.listdir(pki)) == sorted([*FILES, "tls-crt.bak"])


@pytest.mark.parametrize(("mode", "is_warned"), [(0o400, False), (0o600, False), (0o440, True), (0o602, True)])
def test_root_key_that_others_can_read_is_used_and_said_aloud(
    taken: Owner, pki: Path, mode: int, is_warned: bool
) -> None:
    (pki / "factory_ca.key").chmod(mode)
    done = taken.run("keys", "ca", "rotate-tls", pki)
    assert done.code == 0
    assert ("chmod 0400" in done.err) is is_warned


@pytest.mark.parametrize("missing", ["factory_ca.key", "factory_ca.pem"])
def test_without_the_root_the_server_is_asked_for_nothing(taken: Owner, relay: Relay, pki: Path, missing: str) -> None:
    (pki / missing).unlink()
    relay.requests.clear()
    done = taken.run("keys", "ca", "rotate-tls", pki, "--json")
    assert (done.code, done.error["code"]) == (6, "pki-directory-incomplete")
    assert missing in done.error["message"]
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_root_of_another_factory_is_refused_before_anything_is_asked(
    taken: Owner, relay: Relay, taken_elsewhere: Path
) -> None:
    done = taken.run("keys", "ca", "rotate-tls", taken_elsewhere, "--json")
    assert (done.code, done.error["code"]) == (7, "other-root")
    assert [line.split()[0] for line in relay.lines] == ["GET"]


def test_before_the_take_over_there_is_nothing_to_rotate(owner: Owner, taken_elsewhere: Path, relay: Relay) -> None:
    done = owner.run("keys", "ca", "rotate-tls", taken_elsewhere, "--json")
    assert (done.code, done.error["code"]) == (6, "pki-not-set-up")
    assert [line.split()[0] for line in relay.lines] == ["GET"]


def test_directory_that_is_not_there_is_not_made(owner: Owner, pki: Path) -> None:
    assert owner.run("keys", "ca", "rotate-tls", pki, "--json").error["code"] == "pki-directory-incomplete"
    assert not pki.exists()


def test_full_disk_leaves_the_old_certificate_in_place(taken: Owner, pki: Path) -> None:
    before = (pki / "tls-crt").read_bytes()
    failed = taken.run("keys", "ca", "rotate-tls", pki, "--json", largest_file_bytes=512)
    assert failed.error["code"] == "pki-directory-unwritable"
    assert (pki / "tls-crt").read_bytes() == before == served(taken).encode()


def _shown_certificate(server: RunningServer) -> bytes:
    address = f"{server.gateway_address[0]}:{server.gateway_address[1]}"
    name = _gateway_name(server)
    text = openssl("s_client", "-connect", address, "-servername", name, "-showcerts")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(text[begin:end])


def _gateway_name(server: RunningServer) -> str:
    certificate = server.call("GET", f"/ota/factories/{server.factory}/certs/").json()["tls-crt"]
    text = openssl("x509", "-noout", "-ext", "subjectAltName", stdin=certificate)
    return text.split("DNS:")[1].split(",")[0].strip()
