"""Changing a PKI over an air gap: request and apply where the server is, approve where the root is."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ownroot.keystore.file import FileKeyStore
from ownroot.pki.encoding import parse_certificate, parse_certificates
from ownroot.services.request_csrs import PENDING_KEY_LIFETIME as SERVERS_LIFETIME
from ownroot.wire.ceremony import (
    CEREMONY,
    PENDING_KEY_LIFETIME,
    ApprovalFile,
    RecordFile,
    RequestFile,
    request_file,
    sign_approval,
)
from ownroot.wire.ceremony_envelope import MAX_FILE_BYTES, write_file
from tests.support.owner import Owner, Ran
from tests.support.relay import Fault, Instead, Relay
from tests.support.softhsm import LABEL, PIN, soft_hsm
from tests.support.tools import require_tool
from tests.support.world import RunningServer


@dataclass(frozen=True, slots=True)
class Gap:
    """Two machines and what is carried between them."""

    online: Owner
    offline: Owner
    server: RunningServer
    pki: Path
    stick: Path

    def request(self, *change: str | Path, name: str = "it") -> Path:
        out = self.stick / f"{name}.request.json"
        done = self.online.run("keys", "ca", "request", *change, out)
        assert done.code == 0, done.err
        return out

    def approve(self, request: Path, *more: str | Path, pki: Path | None = None, without_network: bool = False) -> Ran:
        out = request.with_name(request.name.replace("request", "approval"))
        words = ("keys", "ca", "approve", request, out, "--pki-dir", pki or self.pki, "--operator", "Ada")
        return self.offline.run(*words, "--yes", "--json", *more, without_network=without_network)

    def approved(self, *change: str | Path, name: str = "it", options: tuple[str, ...] = ()) -> Path:
        return Path(self.approve(self.request(*change, name=name), *options).json["file"])

    def apply(self, approval: Path) -> Ran:
        return self.online.run("keys", "ca", "apply", approval, "--yes", "--json")

    def change(self, *change: str | Path, name: str = "it") -> Path:
        approval = self.approved(*change, name=name)
        assert self.apply(approval).json["sent"] is True
        return approval

    def certs(self) -> dict[str, Any]:
        document: dict[str, Any] = self.server.call("GET", f"/ota/factories/{self.server.factory}/certs/").json()
        return document


@pytest.fixture
def fresh(owner: Owner, server: RunningServer, tmp_path: Path, pki: Path) -> Gap:
    """A factory on the shared PKI; the offline machine knows no server and no token."""
    for folder in ("vault", "stick"):
        (tmp_path / folder).mkdir()
    return Gap(owner, Owner(tmp_path / "vault"), server, pki, tmp_path / "stick")


@pytest.fixture
def gap(fresh: Gap, taken: Owner) -> Gap:
    """A factory that was taken over, its PKI directory on the offline machine."""
    return fresh


def same_certificate(text: str, file: Path) -> bool:
    return parse_certificate(text) == parse_certificate(file.read_text())


def test_a_factory_is_taken_over_by_a_root_that_never_meets_a_network(fresh: Gap) -> None:
    request = fresh.request("create")
    made = fresh.approve(request, without_network=True).json
    assert fresh.certs()["root-crt"] is None
    assert fresh.apply(Path(made["file"])).json["in-effect"]
    certs = fresh.certs()
    assert same_certificate(certs["root-crt"], fresh.pki / "factory_ca.pem")
    assert same_certificate(certs["tls-crt"], fresh.pki / "tls-crt")
    assert [each["file"] for each in made["certificates"]] == ["online-crt", "local-ca.pem", "tls-crt"]
    assert (fresh.pki / "factory_ca.key").stat().st_mode & 0o777 == 0o400


def test_no_private_key_is_on_the_stick(fresh: Gap) -> None:
    fresh.change("create")
    assert len(list(fresh.stick.iterdir())) == 3
    assert not any("PRIVATE" in file.read_text() for file in fresh.stick.iterdir())


def test_openssl_agrees_with_what_was_signed_offline(fresh: Gap) -> None:
    fresh.change("create")
    for name, purpose in (("tls-crt", "sslserver"), ("online-crt", "any"), ("local-ca.pem", "any")):
        verify = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", fresh.pki / "factory_ca.pem"]
        done = subprocess.run([require_tool("openssl"), *verify, fresh.pki / name], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_device_cas_are_added(gap: Gap) -> None:
    before = parse_certificates(gap.certs()["ca-crt"])
    gap.change("add-device-ca", "--online-ca", "--local-ca", "--local-ca-filename", "line-2.pem")
    after = parse_certificates(gap.certs()["ca-crt"])
    new = {parse_certificate((gap.pki / name).read_text()) for name in ("line-2.pem", "online-crt")}
    assert set(after) == {*before, *new}
    assert (gap.pki / "line-2.key").exists()
    assert (gap.pki / "online-crt.bak").exists()


def test_the_gateway_gets_a_new_certificate(gap: Gap) -> None:
    before = gap.certs()["tls-crt"]
    gap.change("rotate-tls")
    assert same_certificate(gap.certs()["tls-crt"], gap.pki / "tls-crt")
    assert same_certificate(before, gap.pki / "tls-crt.bak")


def test_the_est_server_gets_a_certificate_that_is_not_kept(gap: Gap) -> None:
    files = sorted(gap.pki.iterdir())
    gap.change("est-authorize")
    assert gap.certs()["est-tls-crt"]
    assert sorted(gap.pki.iterdir()) == files


def test_a_device_ca_is_disabled_enabled_revoked_and_brought_back(gap: Gap) -> None:
    certificate = gap.pki / "local-ca.pem"
    serial = str(parse_certificate(certificate.read_text()).serial_number)
    gap.change("disable", "--ca-file", certificate, name="1")
    assert gap.certs()["disabled-ca-serials"] == [serial]
    gap.change("enable", "--ca-serial", serial, name="2")
    assert gap.certs()["disabled-ca-serials"] == []
    gap.change("revoke", "--ca-serial", serial, name="3")
    assert len(parse_certificates(gap.certs()["ca-crt"])) == 1
    gap.change("enable", "--ca-file", certificate, name="4")
    assert len(parse_certificates(gap.certs()["ca-crt"])) == 2


def test_the_root_may_be_on_a_token(fresh: Gap, tmp_path: Path) -> None:
    hsm = soft_hsm(tmp_path / "hsm")
    token = ("--hsm-module", str(hsm.module), "--hsm-token-label", LABEL)
    vault = Gap(
        fresh.online,
        fresh.offline.having(**hsm.environment, OWNROOT_HSM_PIN=PIN),
        fresh.server,
        fresh.pki,
        fresh.stick,
    )
    assert vault.apply(vault.approved("create", name="1", options=token)).code == 0
    assert vault.apply(vault.approved("rotate-tls", name="2", options=token)).code == 0
    assert not (fresh.pki / "factory_ca.key").exists()
    record = CEREMONY.parse((fresh.stick / "2.approval.record.json").read_bytes(), RecordFile)
    assert LABEL in record.body.root_key


def test_applying_twice_sends_once(gap: Gap, relay: Relay) -> None:
    approval = gap.change("rotate-tls")
    relay.requests.clear()
    assert gap.apply(approval).json["sent"] is False
    assert {request.method for request in relay.requests} == {"GET"}


def test_an_answer_that_was_lost_is_found_out(gap: Gap, relay: Relay) -> None:
    approval = gap.approved("rotate-tls")
    relay.spoil_once("PATCH", "certs/", Fault.ANSWER_LOST)
    assert gap.apply(approval).json["in-effect"] is True
    assert same_certificate(gap.certs()["tls-crt"], gap.pki / "tls-crt")


def test_a_server_that_says_yes_and_does_nothing_is_found_out(gap: Gap, relay: Relay) -> None:
    approval = gap.approved("rotate-tls")
    relay.spoil_once("PATCH", "certs/", Instead(200, b"{}"))
    assert gap.apply(approval).error["code"] == "change-not-in-effect"
    assert gap.apply(approval).json["sent"] is True


def test_a_take_over_that_was_never_applied_is_approved_again_with_the_same_root(fresh: Gap) -> None:
    fresh.approved("create", name="1")
    root = (fresh.pki / "factory_ca.pem").read_bytes()
    fresh.change("create", name="2")
    assert (fresh.pki / "factory_ca.pem").read_bytes() == root
    assert same_certificate(fresh.certs()["tls-crt"], fresh.pki / "tls-crt")
    fresh.change("rotate-tls", name="3")


def test_a_local_ca_never_takes_the_file_of_another(gap: Gap) -> None:
    before = (gap.pki / "local-ca.pem").read_bytes()
    assert gap.approve(gap.request("add-device-ca", "--local-ca")).error["code"] == "pki-file-exists"
    assert (gap.pki / "local-ca.pem").read_bytes() == before


# What is shown, and asked.


def test_the_person_with_the_root_reads_what_will_change(gap: Gap) -> None:
    request = gap.request("revoke", "--ca-file", gap.pki / "local-ca.pem")
    words = ("keys", "ca", "approve", request, gap.stick / "out.json", "--pki-dir", gap.pki, "--operator", "Ada")
    done = gap.offline.run(*words, "--yes")
    serial = str(parse_certificate((gap.pki / "local-ca.pem").read_text()).serial_number)
    assert f"Factory {gap.server.factory}: revoke a device CA." in done.err
    assert f"serial {serial}: REVOKE" in done.err
    assert "└─" in done.err
    assert re.search("1[45] min left", done.out)


def test_revoking_the_online_ca_in_use_says_what_stops(gap: Gap) -> None:
    request = gap.request("revoke", "--ca-file", gap.pki / "online-crt")
    words = ("keys", "ca", "approve", request, gap.stick / "out.json", "--pki-dir", gap.pki, "--operator", "Ada")
    assert "cannot register over the API" in gap.offline.run(*words, "--yes").err


def test_nothing_is_signed_without_a_yes(gap: Gap) -> None:
    request, out = gap.request("rotate-tls"), gap.stick / "out.json"
    before = (gap.pki / "tls-crt").read_bytes()
    words = ("keys", "ca", "approve", request, out, "--pki-dir", gap.pki, "--operator", "Ada")
    assert gap.offline.run(*words, "--json").error["code"] == "cannot-ask"
    refused = gap.offline.run_on_terminal(*words, "--json", typed="n\n")
    assert refused.code == 10
    assert "give the gateway a new TLS key" in refused.out
    assert not out.exists()
    assert (gap.pki / "tls-crt").read_bytes() == before
    assert gap.offline.run_on_terminal(*words, typed="y\n").code == 0
    assert (gap.pki / "tls-crt").read_bytes() != before


def test_a_take_over_is_not_applied_without_a_yes(fresh: Gap) -> None:
    approval = fresh.approved("create")
    assert fresh.online.run("keys", "ca", "apply", approval, "--json").error["code"] == "cannot-ask"
    assert fresh.certs()["root-crt"] is None


def test_an_operator_must_be_named(gap: Gap) -> None:
    request = gap.request("rotate-tls")
    done = gap.offline.run("keys", "ca", "approve", request, gap.stick / "out.json", "--pki-dir", gap.pki, "--yes")
    assert done.code == 2


# Signed commands and their time.


def test_a_command_lives_fifteen_minutes_or_as_long_as_asked(gap: Gap) -> None:
    request = gap.request("disable", "--ca-file", gap.pki / "local-ca.pem")
    soon = datetime.fromisoformat(gap.approve(request).json["usable-until"])
    assert timedelta(minutes=14) < soon - datetime.now(UTC) <= timedelta(minutes=15)
    later = request.rename(request.with_name("later.request.json"))
    made = gap.approve(later, "--crl-valid-minutes", "1440").json
    assert datetime.fromisoformat(made["usable-until"]) - soon > timedelta(hours=23)
    assert gap.apply(Path(made["file"])).json["sent"] is True


@pytest.mark.parametrize("minutes", ["14", "1441"])
def test_a_command_that_lives_shorter_or_longer_than_is_sensible_is_not_signed(gap: Gap, minutes: str) -> None:
    request = gap.request("disable", "--ca-file", gap.pki / "local-ca.pem")
    assert gap.approve(request, "--crl-valid-minutes", minutes).code == 2


def test_the_server_keeps_its_keys_as_long_as_requests_say() -> None:
    assert PENDING_KEY_LIFETIME == SERVERS_LIFETIME


def test_a_request_whose_server_keys_have_expired_is_refused(gap: Gap) -> None:
    request = gap.request("rotate-tls")
    body = CEREMONY.parse(request.read_bytes(), RequestFile).body
    past = msgspec.structs.replace(body, expires_at=datetime.now(UTC).replace(microsecond=0))
    request.write_bytes(write_file(request_file(past)))
    assert gap.approve(request).error["code"] == "ceremony-expired"


def test_an_approval_whose_server_keys_have_expired_is_refused(gap: Gap, relay: Relay) -> None:
    approval = gap.approved("rotate-tls")
    body = CEREMONY.parse(approval.read_bytes(), ApprovalFile).body
    past = msgspec.structs.replace(body, usable_until=datetime.now(UTC).replace(microsecond=0))
    key = FileKeyStore(gap.pki).find("factory_ca")
    assert key is not None
    approval.write_bytes(write_file(sign_approval(past, key)))
    relay.requests.clear()
    assert gap.apply(approval).error["code"] == "ceremony-expired"
    assert {request.method for request in relay.requests} == {"GET"}


# Another state, another factory, another root.


def test_an_approval_for_a_state_that_is_gone_is_refused(gap: Gap) -> None:
    approval = gap.approved("rotate-tls")
    assert gap.online.run("keys", "ca", "disable-device-ca", gap.pki, "--ca-file", "local-ca.pem", "--yes").code == 0
    error = gap.apply(approval).error
    assert error["code"] == "ceremony-stale"
    assert "is disabled" in error["message"]


@pytest.mark.parametrize("undo", ["enable-device-ca", "revoke-device-ca"])
def test_an_applied_file_does_nothing_once_the_owner_has_decided_otherwise(gap: Gap, undo: str) -> None:
    approval = gap.change("disable", "--ca-file", gap.pki / "local-ca.pem")
    assert gap.online.run("keys", "ca", undo, gap.pki, "--ca-file", "local-ca.pem", "--yes").code == 0
    before = gap.certs()
    assert gap.apply(approval).error["code"] == "ceremony-stale"
    assert gap.certs() == before


def test_a_revoked_ca_does_not_come_back_with_the_file_that_added_it(gap: Gap) -> None:
    approval = gap.change("add-device-ca", "--local-ca", "--local-ca-filename", "line-2.pem")
    assert gap.online.run("keys", "ca", "revoke-device-ca", gap.pki, "--ca-file", "line-2.pem", "--yes").code == 0
    assert gap.apply(approval).error["code"] == "ceremony-stale"


def test_a_request_of_another_factory_is_not_signed(gap: Gap, taken_elsewhere: Path) -> None:
    request = gap.request("rotate-tls")
    assert gap.approve(request, pki=taken_elsewhere).error["code"] == "ceremony-other-factory"


def test_an_approval_is_not_applied_to_another_factory(gap: Gap, taken_elsewhere: Path) -> None:
    other = gap.server.for_factory(f"{gap.server.factory}-third")
    approval = gap.approved("rotate-tls")
    stranger = gap.online.at(gap.server.api_url, factory=other.factory, token=other.owner_token)
    assert stranger.run("keys", "ca", "apply", approval, "--json").error["code"] == "ceremony-other-factory"


def test_the_second_of_two_roots_is_refused(fresh: Gap, tmp_path: Path) -> None:
    first, second = fresh.request("create", name="1"), fresh.request("create", name="2")
    assert fresh.apply(Path(fresh.approve(first).json["file"])).code == 0
    other_pki = tmp_path / "other"
    late = Path(fresh.approve(second, pki=other_pki).json["file"])
    assert fresh.apply(late).error["code"] == "other-root"
    rotation = fresh.request("rotate-tls", name="3")
    assert fresh.approve(rotation, pki=other_pki).error["code"] == "other-root"
    assert fresh.approve(rotation).code == 0


def test_what_cannot_be_done_is_not_asked_for(fresh: Gap, pki: Path) -> None:
    out = fresh.stick / "request.json"
    early = fresh.online.run("keys", "ca", "request", "rotate-tls", out, "--json")
    assert early.error["code"] == "pki-not-set-up"
    assert fresh.online.run("keys", "ca", "create", pki).code == 0
    late = fresh.online.run("keys", "ca", "request", "create", out, "--json")
    assert late.error["code"] == "already-taken-over"
    unknown = fresh.online.run("keys", "ca", "request", "revoke", "--ca-serial", "77", out, "--json")
    assert unknown.error["code"] == "no-such-device-ca"
    assert not out.exists()


def test_a_file_in_the_way_stops_before_anything_is_made(fresh: Gap) -> None:
    request = fresh.request("create")
    for name in ("it.approval.json", "it.approval.record.json"):
        (fresh.stick / name).write_text("mine")
        assert fresh.approve(request).error["code"] == "ceremony-file-exists"
        (fresh.stick / name).unlink()
    assert not fresh.pki.exists()


# Files that are not what they were.


@pytest.mark.parametrize("kind", ["request", "approval", "approval.record"])
def test_a_file_with_one_byte_altered_or_its_end_lost_is_refused(gap: Gap, kind: str) -> None:
    gap.approved("rotate-tls")
    file = gap.stick / f"it.{kind}.json"
    whole = file.read_bytes()
    read: dict[str, tuple[str | Path, ...]] = {
        "request": ("approve", file, gap.stick / "x.json", "--pki-dir", gap.pki, "--operator", "Ada", "--yes"),
        "approval": ("apply", file),
        "approval.record": ("verify-record", file, "--root", gap.pki / "factory_ca.pem"),
    }
    owner = gap.online if kind == "approval" else gap.offline
    wrong = {
        "ceremony-file-altered": whole.replace(b'"tool": "ownroot/', b'"tool": "ownr00t/'),
        "ceremony-file-unreadable": whole[:-200],
        "ceremony-file-too-large": whole + b" " * MAX_FILE_BYTES,
    }
    for code, content in wrong.items():
        assert content != whole
        file.write_bytes(content)
        assert owner.run("keys", "ca", *read[kind], "--json").error["code"] == code
    file.write_bytes(whole)
    assert owner.run("keys", "ca", *read[kind], "--json").code == 0


def test_an_approval_altered_by_someone_who_knows_how_is_refused(gap: Gap) -> None:
    approval = gap.approved("rotate-tls")
    file = CEREMONY.parse(approval.read_bytes(), ApprovalFile)
    forged = sign_approval(
        msgspec.structs.replace(file.body, operators=("Eve",)), FileKeyStore(gap.pki).find("local-ca")
    )
    approval.write_bytes(write_file(forged))
    assert gap.apply(approval).error["code"] == "ceremony-signature"


def test_a_file_of_another_kind_is_refused_by_name(gap: Gap) -> None:
    error = gap.apply(gap.request("rotate-tls")).error
    assert error["code"] == "ceremony-file-kind"
    assert "a request" in error["message"]


# The record.


def test_the_record_says_who_signed_what_and_is_proven_by_the_root_alone(gap: Gap) -> None:
    gap.approved("rotate-tls")
    record = gap.stick / "it.approval.record.json"
    words = ("keys", "ca", "verify-record", record, "--root", gap.pki / "factory_ca.pem", "--json")
    told = gap.offline.run(*words, without_network=True).json
    assert told["operators"] == ["Ada"]
    assert told["change"] == {"what": "rotate-tls"}
    assert len(told["certificates"]) == 1
    assert told["request-sha256"] == json.loads((gap.stick / "it.request.json").read_text())["sha256"]
    assert told["approval-sha256"] == json.loads((gap.stick / "it.approval.json").read_text())["sha256"]


def test_a_record_is_not_believed_under_another_root(gap: Gap, taken_elsewhere: Path) -> None:
    gap.approved("rotate-tls")
    record = gap.stick / "it.approval.record.json"
    words = ("keys", "ca", "verify-record", record, "--root", taken_elsewhere / "factory_ca.pem", "--json")
    assert gap.offline.run(*words).error["code"] == "other-root"


def test_the_script_in_the_documentation_proves_a_record_without_us(gap: Gap, tmp_path: Path) -> None:
    gap.approved(
        "rotate-tls",
        options=(
            "--operator",
            "Gräce \\ Hopper",
        ),
    )
    page = (Path(__file__).parents[3] / "docs" / "air-gap.md").read_text()
    script = page.rpartition("```sh\n")[2].partition("```")[0]
    shutil.copy(gap.stick / "it.approval.record.json", tmp_path / "approved.record.json")
    shutil.copy(gap.pki / "factory_ca.pem", tmp_path)
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "Verified OK\n", done.stderr
    altered = (tmp_path / "approved.record.json").read_text().replace('"Ada"', '"Eve"')
    (tmp_path / "approved.record.json").write_text(altered)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
