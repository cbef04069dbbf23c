"""The owner's commands with the root on a token, through the real program and SoftHSM2."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from ownroot.pki.encoding import csr_pem, parse_certificate
from ownroot.pki.names import root_subject
from ownroot.pki.requests import make_csr
from ownroot.pki.signer import generate_key
from tests.support.owner import Owner, Ran
from tests.support.relay import Fault, Relay
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm
from tests.support.tools import require_tool
from tests.support.world import RunningServer

WRONG_PIN = "918273645"
FILES = ["factory_ca.pem", "local-ca.key", "local-ca.pem", "online-crt", "tls-crt"]


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return soft_hsm(tmp_path / "hsm")


@pytest.fixture
def holder(owner: Owner, hsm: SoftHsm) -> Owner:
    """The factory's owner, with a token whose PIN is in their environment."""
    return owner.having(**hsm.environment, OWNROOT_HSM_PIN=PIN)


def on(hsm: SoftHsm, label: str = LABEL) -> list[str]:
    return ["--hsm-module", str(hsm.module), "--hsm-token-label", label]


def create(holder: Owner, hsm: SoftHsm, pki: Path, *more: str) -> Ran:
    return holder.run("keys", "ca", "create", pki, *on(hsm), "--yes", "--json", *more)


def refused(ran: Ran) -> str:
    """Return the code of an error that tells no PIN."""
    assert PIN not in ran.out + ran.err
    assert WRONG_PIN not in ran.out + ran.err
    return str(ran.error["code"])


def assert_nothing_was_sent(relay: Relay) -> None:
    assert {line.split()[0] for line in relay.lines} <= {"GET"}


# --- create -----------------------------------------------------------------------------------------------------


def test_a_factory_is_taken_over_with_a_root_on_a_token(holder: Owner, hsm: SoftHsm, pki: Path) -> None:
    assert create(holder, hsm, pki).json["files"] == FILES
    shown = hsm.pkcs11_tool("--list-objects", "--type", "privkey")
    assert re.search(r"label: +root-ca\n +ID: +01\n", shown)
    assert "never extractable" in shown
    root = holder.run("keys", "ca", "show", "--just-root").out
    assert root == (pki / "factory_ca.pem").read_text()


def test_openssl_verifies_what_a_token_signed(holder: Owner, hsm: SoftHsm, pki: Path) -> None:
    create(holder, hsm, pki)
    for name in ("tls-crt", "online-crt", "local-ca.pem"):
        command = [require_tool("openssl"), "verify", "-x509_strict", "-CAfile", str(pki / "factory_ca.pem")]
        assert subprocess.run([*command, str(pki / name)], capture_output=True, check=False).returncode == 0


def test_the_pin_is_asked_for_and_not_shown(holder: Owner, hsm: SoftHsm, pki: Path) -> None:
    asked = holder.having(OWNROOT_HSM_PIN="")
    ran = asked.run_on_terminal("keys", "ca", "create", pki, *on(hsm), "--yes", typed=f"{PIN}\n", after=f"{LABEL}: ")
    assert ran.code == 0, ran.out
    assert PIN not in ran.out
    assert "back the token up" in ran.out


def test_without_a_terminal_a_missing_pin_is_named_before_anything_is_sent(
    holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path
) -> None:
    assert refused(create(holder.having(OWNROOT_HSM_PIN=""), hsm, pki)) == "pin-missing"
    assert relay.requests == []


def test_the_pin_on_the_command_line_comes_before_the_environment(holder: Owner, hsm: SoftHsm, pki: Path) -> None:
    other = holder.having(OWNROOT_HSM_PIN=WRONG_PIN)
    assert create(other, hsm, pki, "--hsm-pin", PIN).code == 0


def test_no_other_program_is_run_that_could_show_the_pin(holder: Owner, hsm: SoftHsm, pki: Path) -> None:
    assert create(holder.having(PATH=""), hsm, pki).code == 0


def test_a_second_run_goes_on_with_the_root_on_the_token(holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    assert create(holder, hsm, pki).code != 0
    root = (pki / "factory_ca.pem").read_bytes()
    assert create(holder, hsm, pki).json["resumed"] is True
    assert (pki / "factory_ca.pem").read_bytes() == root


def test_a_local_device_ca_lives_on_the_token_too(holder: Owner, hsm: SoftHsm, pki: Path) -> None:
    made = create(holder, hsm, pki, "--local-ca-hsm-label", "line-1").json
    assert made["files"] == [name for name in FILES if name != "local-ca.key"]
    shown = hsm.pkcs11_tool("--list-objects", "--type", "privkey")
    assert re.findall(r"label: +(\S+)", shown).count("line-1") == 1
    assert "local-ca.pem" in os.listdir(pki)


# --- create, refused before anything is sent --------------------------------------------------------------------


@pytest.mark.parametrize("made_by", ["pkcs11-tool", "ownroot"])
def test_a_key_on_the_token_that_belongs_to_no_certificate_here_is_refused(
    holder: Owner, server: RunningServer, relay: Relay, hsm: SoftHsm, pki: Path, made_by: str
) -> None:
    if made_by == "ownroot":
        twin = server.for_factory(server.factory + "-twin")
        theirs = holder.at(server.api_url, factory=twin.factory, token=twin.owner_token)
        assert create(theirs, hsm, pki.with_name("theirs")).code == 0
    else:
        hsm.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "root-ca", "--id", "31")
    assert refused(create(holder, hsm, pki)) == "key-exists"
    assert_nothing_was_sent(relay)
    assert not pki.exists()


def test_a_key_under_the_label_of_the_local_ca_is_refused(holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path) -> None:
    hsm.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "line-1", "--id", "07")
    assert refused(create(holder, hsm, pki, "--local-ca-hsm-label", "line-1")) == "key-exists"
    assert_nothing_was_sent(relay)


def test_the_local_ca_cannot_have_the_label_of_the_root(holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path) -> None:
    ran = create(holder, hsm, pki, "--local-ca-hsm-label", "root-ca")
    assert ran.code == 2
    assert relay.requests == []


def test_a_root_in_a_file_is_not_joined_by_one_on_a_token(holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    holder.run("keys", "ca", "create", pki)
    (pki / "factory_ca.pem").unlink()
    relay.requests.clear()
    assert refused(create(holder, hsm, pki)) == "pki-directory-mixed"
    assert_nothing_was_sent(relay)


def test_a_certificate_of_another_root_than_the_one_on_the_token_is_refused(
    holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path
) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    holder.run("keys", "ca", "create", pki)
    (pki / "factory_ca.key").unlink()
    hsm.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "root-ca", "--id", "01")
    relay.requests.clear()
    assert refused(create(holder, hsm, pki)) == "pki-directory-mixed"
    assert_nothing_was_sent(relay)


def test_a_wrong_pin_is_refused_before_anything_is_sent(holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path) -> None:
    ran = create(holder.having(OWNROOT_HSM_PIN=WRONG_PIN), hsm, pki)
    assert (ran.code, refused(ran)) == (8, "pin-incorrect")
    assert_nothing_was_sent(relay)
    assert not pki.exists()


def test_a_wrong_pin_shows_nowhere_even_when_debugging(holder: Owner, hsm: SoftHsm, pki: Path) -> None:
    wrong = holder.having(OWNROOT_HSM_PIN=WRONG_PIN)
    ran = wrong.run("keys", "ca", "create", pki, *on(hsm), "--yes", "--debug")
    assert ran.code == 8
    assert WRONG_PIN not in ran.out + ran.err


def test_an_unknown_token_is_refused_before_anything_is_sent(
    holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path
) -> None:
    ran = holder.run("keys", "ca", "create", pki, *on(hsm, "elsewhere"), "--yes", "--json")
    assert refused(ran) == "token-unknown"
    assert_nothing_was_sent(relay)


def test_a_missing_module_is_refused_before_anything_is_sent(holder: Owner, relay: Relay, pki: Path) -> None:
    ran = holder.run("keys", "ca", "create", pki, "--hsm-module", "no.so", "--hsm-token-label", LABEL, "--json")
    assert refused(ran) == "hsm-module-missing"
    assert relay.requests == []


@pytest.mark.parametrize(
    "options",
    [
        ["--hsm-module", "module.so"],
        ["--hsm-token-label", LABEL],
        ["--hsm-pin", PIN],
        ["--local-ca-hsm-label", "line-1"],
    ],
    ids=lambda options: options[0],
)
def test_half_of_the_options_never_ends_with_a_root_in_a_file(
    holder: Owner, relay: Relay, pki: Path, options: list[str]
) -> None:
    assert holder.run("keys", "ca", "create", pki, *options).code == 2
    assert relay.requests == []
    assert not pki.exists()


# --- every other command ----------------------------------------------------------------------------------------


@pytest.fixture
def taken(holder: Owner, relay: Relay, hsm: SoftHsm, pki: Path) -> Path:
    """The PKI directory of a factory whose root is on the token."""
    assert create(holder, hsm, pki).code == 0
    relay.requests.clear()
    return pki


COMMANDS = {
    "rotate-tls": ["keys", "ca", "rotate-tls"],
    "add-device-ca": ["keys", "ca", "add-device-ca", "--local-ca", "--local-ca-filename", "line-2.pem"],
    "disable-device-ca": ["keys", "ca", "disable-device-ca", "--ca-file", "local-ca.pem", "--yes"],
    "revoke-device-ca": ["keys", "ca", "revoke-device-ca", "--ca-file", "local-ca.pem", "--yes"],
    "est authorize": ["keys", "est", "authorize"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_change_is_signed_on_the_token(holder: Owner, hsm: SoftHsm, taken: Path, command: list[str]) -> None:
    ran = holder.run(*command, taken, *on(hsm), "--json")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_change_without_the_token_is_refused_naming_the_option(
    holder: Owner, relay: Relay, taken: Path, command: list[str]
) -> None:
    ran = holder.run(*command, taken, "--json")
    assert refused(ran) == "pki-directory-incomplete"
    assert "--hsm-module" in ran.error["message"]
    assert_nothing_was_sent(relay)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_change_with_a_wrong_pin_changes_nothing(
    holder: Owner, relay: Relay, hsm: SoftHsm, taken: Path, command: list[str]
) -> None:
    before = {path.name: path.read_bytes() for path in taken.iterdir()}
    ran = holder.having(OWNROOT_HSM_PIN=WRONG_PIN).run(*command, taken, *on(hsm), "--json")
    assert refused(ran) == "pin-incorrect"
    assert_nothing_was_sent(relay)
    assert {path.name: path.read_bytes() for path in taken.iterdir()} == before


def test_a_disabled_ca_is_enabled_again_from_the_token(holder: Owner, hsm: SoftHsm, taken: Path) -> None:
    for verb in ("disable", "enable"):
        ran = holder.run("keys", "ca", f"{verb}-device-ca", taken, "--ca-file", "local-ca.pem", "--yes", *on(hsm))
        assert ran.code == 0, ran.err


def test_another_local_ca_is_made_on_the_token(holder: Owner, hsm: SoftHsm, taken: Path) -> None:
    wanted = ["--local-ca", "--local-ca-filename", "line-2.pem", "--local-ca-hsm-label", "line-2"]
    ran = holder.run("keys", "ca", "add-device-ca", taken, *wanted, *on(hsm))
    assert ran.code == 0, ran.err
    assert "line-2.pem" in os.listdir(taken)
    assert "line-2.key" not in os.listdir(taken)
    assert "line-2" in hsm.pkcs11_tool("--list-objects", "--type", "privkey")


def test_another_local_ca_never_shares_the_key_of_the_first(
    holder: Owner, relay: Relay, hsm: SoftHsm, taken: Path
) -> None:
    wanted = ["keys", "ca", "add-device-ca", taken, "--local-ca", "--local-ca-hsm-label", "line", *on(hsm), "--json"]
    assert holder.run(*wanted, "--local-ca-filename", "line-2.pem").code == 0
    relay.requests.clear()
    assert refused(holder.run(*wanted, "--local-ca-filename", "line-3.pem")) == "key-exists"
    assert_nothing_was_sent(relay)


def test_a_cut_run_goes_on_with_the_local_ca_it_made_on_the_token(
    holder: Owner, relay: Relay, hsm: SoftHsm, taken: Path
) -> None:
    wanted = ["keys", "ca", "add-device-ca", taken, "--local-ca", "--local-ca-filename", "line-2.pem"]
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    assert holder.run(*wanted, "--local-ca-hsm-label", "line-2", *on(hsm)).code != 0
    resumed = holder.run(*wanted, "--local-ca-hsm-label", "line-2", *on(hsm))
    assert resumed.code == 0, resumed.err
    assert "line-2.pem" in os.listdir(taken)


def test_a_request_of_the_owners_own_is_signed_on_the_token(holder: Owner, hsm: SoftHsm, taken: Path) -> None:
    csr = csr_pem(make_csr(generate_key(), root_subject("acme"), ("api.example.com",)))
    ran = holder.run("keys", "ca", "sign", "--pki-dir", taken, "-", *on(hsm), stdin=csr)
    assert ran.code == 0, ran.err
    parse_certificate(ran.out).verify_directly_issued_by(parse_certificate((taken / "factory_ca.pem").read_text()))
