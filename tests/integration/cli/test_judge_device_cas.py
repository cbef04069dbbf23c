"""`ownroot keys ca disable-device-ca`, `enable-device-ca` and `revoke-device-ca` through the real program."""

import json
import os
from pathlib import Path

import pytest

from tests.support.device_csrs import device_csr
from tests.support.openssl_checks import crl_serials, decimal_serial, openssl, run_openssl
from tests.support.openssl_owner import OpensslOwner
from tests.support.owner import Owner
from tests.support.relay import Fault, Instead, Relay
from tests.support.world import RunningServer

VERDICTS = ("revoke-device-ca", "disable-device-ca", "enable-device-ca")
REASONS = {
    "revoke-device-ca": "Privilege Withdrawn",
    "disable-device-ca": "Certificate Hold",
    "enable-device-ca": "Remove From CRL",
}


def standing(owner: Owner) -> dict[str, str]:
    shown = owner.run("keys", "ca", "show", "--json").json
    return {ca["serial"]: ca["standing"] for ca in shown["device-cas"]}


def register(server: RunningServer, *names: str) -> None:
    for number, name in enumerate(names):
        uuid = f"{number:08d}-2222-4333-8444-555555555555"
        document = {"csr": device_csr(uuid, factory=server.factory), "hardware-id": "h", "uuid": uuid, "name": name}
        answer = server.call("POST", "/ota/devices/", document=document)
        assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_command_reads_the_state_counts_devices_and_sends_a_crl_alone(
    taken: Owner, relay: Relay, pki: Path, verdict: str
) -> None:
    serial = decimal_serial(pki / "local-ca.pem")
    done = taken.run("keys", "ca", verdict, pki, "--ca-file", "local-ca.pem", "--yes")
    assert done.code == 0, done.err
    assert [line.split("?")[0].split("/")[-2] for line in relay.lines] == ["certs", "devices", "certs"]
    assert f"ca_serial={serial}" in relay.lines[1]
    sent = json.loads(relay.requests[2].body)
    assert list(sent) == ["ca-revoke-crl"]
    assert crl_serials(sent["ca-revoke-crl"], pki / "factory_ca.pem") == {serial: REASONS[verdict]}


def test_crl_is_of_the_form_every_client_of_this_protocol_sends(taken: Owner, relay: Relay, pki: Path) -> None:
    # api.md §4: v2, CRL number 1, key identifier of the root, 15 minutes.
    taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    text = openssl("crl", "-noout", "-text", stdin=json.loads(relay.requests[-1].body)["ca-revoke-crl"])
    for part in ("Version 2", "ecdsa-with-SHA256", "X509v3 Authority Key Identifier", "X509v3 CRL Number: \n"):
        assert part in text
    assert text.split("X509v3 CRL Number: \n")[1].split()[0] == "1"


def test_disable_enable_and_revoke_take_effect(taken: Owner, pki: Path) -> None:
    serial = decimal_serial(pki / "local-ca.pem")
    for verdict, expected in (("disable", "disabled"), ("enable", "valid"), ("revoke", None), ("enable", "valid")):
        done = taken.run("keys", "ca", f"{verdict}-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
        assert done.code == 0, done.err
        assert standing(taken).get(serial) == expected


def test_several_cas_by_file_and_serial_are_one_command_each_named_once(taken: Owner, relay: Relay, pki: Path) -> None:
    local, online = (decimal_serial(pki / name) for name in ("local-ca.pem", "online-crt"))
    done = taken.run(
        *("keys", "ca", "disable-device-ca", pki, "--ca-file", "local-ca.pem", "--ca-serial", online),
        *("--ca-serial", local, "--yes", "--json"),
    )
    assert {ca["serial"] for ca in done.json["device-cas"]} == {local, online}
    assert len(json.loads(relay.requests[-1].body)) == 1
    assert set(standing(taken).values()) == {"disabled"}


def test_ca_with_a_serial_of_160_bits_is_named_by_its_crl(taken: Owner, server: RunningServer, pki: Path) -> None:
    # Half of all CAs made by the reference client have one (api.md §4.2).
    maker = OpensslOwner(pki, server.factory)
    for name, source in (("root.key", "factory_ca.key"), ("root.pem", "factory_ca.pem")):
        (pki / name).write_bytes((pki / source).read_bytes())
    wide = f"0x{(1 << 159) + 12345:x}"
    maker.make_local_ca("fio-wide", name="wide")
    extensions = "keyUsage = keyCertSign\nbasicConstraints = CA:TRUE\n"
    (pki / "ext").write_text(extensions)
    signing = ("-CA", pki / "root.pem", "-CAkey", pki / "root.key", "-set_serial", wide, "-extfile", pki / "ext")
    (pki / "wide.pem").write_text(openssl("x509", "-req", "-in", pki / "wide.csr", *signing, "-days", "30"))
    (pki / "root.pem").unlink()
    assert taken.run("keys", "ca", "update", pki).code == 0
    assert taken.run("keys", "ca", "disable-device-ca", pki, "--ca-file", "wide.pem", "--yes").code == 0
    assert standing(taken)[str(int(wide, 16))] == "disabled"


def test_dry_run_prints_a_crl_that_openssl_verifies_and_sends_nothing(taken: Owner, relay: Relay, pki: Path) -> None:
    done = taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--dry-run")
    assert done.code == 0, done.err
    assert list(crl_serials(done.out, pki / "factory_ca.pem")) == [decimal_serial(pki / "local-ca.pem")]
    assert not [line for line in relay.lines if not line.startswith("GET")]
    assert set(standing(taken).values()) == {"valid"}


def test_crl_of_a_dry_run_does_not_verify_under_another_root(taken: Owner, taken_elsewhere: Path, pki: Path) -> None:
    crl = taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--dry-run").out
    refused = run_openssl("crl", "-CAfile", taken_elsewhere / "factory_ca.pem", "-noout", "-verify", stdin=crl)
    assert refused.returncode != 0 or "verify OK" not in refused.stderr


def test_pretty_dry_run_names_command_ca_and_the_devices_it_would_cut(
    taken: Owner, server: RunningServer, pki: Path
) -> None:
    register(server, "pump-1", "pump-2", "pump-3")
    shown = taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "online-crt", "--dry-run", "--pretty").out
    for text in (
        "9, privilegeWithdrawn",
        decimal_serial(pki / "online-crt"),
        "Online device CA",
        "3 devices will be cut off",
        "pump-1, pump-2, pump-3",
        "next update",
    ):
        assert text in shown


def test_json_dry_run_holds_the_crl_and_the_devices(taken: Owner, server: RunningServer, pki: Path) -> None:
    register(server, "pump-1")
    done = taken.run("keys", "ca", "disable-device-ca", pki, "--ca-file", "online-crt", "--dry-run", "--json").json
    assert (done["dry-run"], done["devices"], done["verdict"]) == (True, 1, "disable")
    assert done["device-cas"][0]["names"] == ["pump-1"]
    assert done["stops-online-registration"] is True
    assert crl_serials(done["crl"], pki / "factory_ca.pem") == {decimal_serial(pki / "online-crt"): "Certificate Hold"}


def test_more_devices_than_fit_are_counted_and_the_list_is_pointed_to(
    taken: Owner, server: RunningServer, pki: Path
) -> None:
    register(server, *(f"pump-{number:02d}" for number in range(22)))
    shown = taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "online-crt", "--dry-run", "--pretty").out
    assert "22 devices" in shown
    assert f"and 2 more: ownroot devices list --by-ca-serial {decimal_serial(pki / 'online-crt')}" in shown


def test_without_a_terminal_it_needs_a_yes_and_names_the_count(
    taken: Owner, server: RunningServer, relay: Relay, pki: Path
) -> None:
    register(server, "pump-1", "pump-2")
    done = taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "online-crt", "--json")
    assert (done.code, done.error["code"]) == (10, "cannot-ask")
    assert "2 devices" in done.error["message"]
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_on_a_terminal_no_sends_nothing_and_yes_does(taken: Owner, server: RunningServer, pki: Path) -> None:
    register(server, "pump-1")
    revoke = ("keys", "ca", "revoke-device-ca", pki, "--ca-file", "online-crt")
    refused = taken.run_on_terminal(*revoke, typed="n\n")
    assert refused.code == 10
    assert "1 device" in refused.out
    assert "pump-1" in refused.out
    assert len(standing(taken)) == 2
    accepted = taken.run_on_terminal(*revoke, typed="y\n")
    assert accepted.code == 0, accepted.out
    assert len(standing(taken)) == 1


def test_root_key_is_not_needed_to_learn_the_cost_and_say_no(taken: Owner, pki: Path) -> None:
    (pki / "factory_ca.key").unlink()
    revoke = ("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem")
    assert taken.run(*revoke, "--json").error["code"] == "cannot-ask"
    assert taken.run(*revoke, "--yes", "--json").error["code"] == "pki-directory-incomplete"


def test_online_ca_in_use_is_warned_of_and_an_earlier_one_is_not(taken: Owner, pki: Path) -> None:
    (pki / "first.pem").write_bytes((pki / "online-crt").read_bytes())
    assert taken.run("keys", "ca", "add-device-ca", pki, "--online-ca").code == 0
    disable = ("keys", "ca", "disable-device-ca", pki, "--dry-run", "--json")
    serials = {name: decimal_serial(pki / name) for name in ("first.pem", "online-crt")}
    assert taken.run(*disable, "--ca-file", "first.pem").json["stops-online-registration"] is False
    assert taken.run(*disable, "--ca-serial", serials["online-crt"]).json["stops-online-registration"] is True


def test_token_that_may_not_list_devices_is_told_that_the_count_is_unknown(
    taken: Owner, server: RunningServer, pki: Path
) -> None:
    narrow = taken.having(OWNROOT_TOKEN=server.create_token("certs:manage"))
    done = narrow.run("keys", "ca", "disable-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    assert done.code == 0, done.err
    assert "not known" in done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "no-device-ca-named"),
        (("--ca-serial", "0x1f"), "serial-malformed"),
        (("--ca-serial", "1f"), "serial-malformed"),
        (("--ca-serial", "-1"), "serial-malformed"),
        (("--ca-serial", "12345"), "no-such-device-ca"),
        (("--ca-file", "local-ca"), "pki-directory-incomplete"),
        (("--ca-file", "../pki/local-ca.pem"), "ca-file-not-inside"),
        (("--ca-file", "local-ca.key"), "pem-wrong-type"),
        (("--ca-file", "factory_ca.pem"), "no-such-device-ca"),
        (("--ca-file", "tls-crt"), "no-such-device-ca"),
    ],
    ids=lambda value: "-".join(value) or "none" if isinstance(value, tuple) else value,
)
@pytest.mark.parametrize("verdict", ["revoke-device-ca", "disable-device-ca"])
def test_ca_that_cannot_be_meant_is_refused_and_nothing_is_sent(
    taken: Owner, relay: Relay, pki: Path, verdict: str, arguments: tuple[str, ...], code: str
) -> None:
    done = taken.run("keys", "ca", verdict, pki, *arguments, "--yes", "--json")
    assert done.error["code"] == code
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_file_of_another_factory_is_refused(taken: Owner, relay: Relay, taken_elsewhere: Path, pki: Path) -> None:
    (pki / "theirs.pem").write_bytes((taken_elsewhere / "local-ca.pem").read_bytes())
    done = taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "theirs.pem", "--yes", "--json")
    assert (done.code, done.error["code"]) == (3, "ca-not-signed-by-root")
    assert relay.lines == []


def test_revoked_ca_does_not_come_back_by_its_serial_alone(taken: Owner, pki: Path) -> None:
    serial = decimal_serial(pki / "local-ca.pem")
    taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-serial", serial, "--yes")
    done = taken.run("keys", "ca", "enable-device-ca", pki, "--ca-serial", serial, "--yes", "--json")
    assert (done.code, done.error["code"]) == (6, "no-such-device-ca")
    assert "--ca-file" in done.error["remedy"]
    assert serial not in standing(taken)


def test_revoked_ca_comes_back_by_certificate_and_crl_in_one_upload(taken: Owner, relay: Relay, pki: Path) -> None:
    taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    done = taken.run("keys", "ca", "enable-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    assert done.code == 0, done.err
    sent = json.loads(relay.requests[-1].body)
    assert list(sent) == ["ca-crt", "ca-revoke-crl"]
    assert sent["ca-crt"].endswith((pki / "local-ca.pem").read_text())


def test_revoked_ca_does_not_come_back_by_update(taken: Owner, pki: Path) -> None:
    taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    done = taken.run("keys", "ca", "update", pki, "--json")
    assert done.code != 0
    assert decimal_serial(pki / "local-ca.pem") not in standing(taken)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_lost_answer_is_looked_up_and_told_as_done(taken: Owner, relay: Relay, pki: Path, verdict: str) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.ANSWER_LOST)
    done = taken.run("keys", "ca", verdict, pki, "--ca-file", "local-ca.pem", "--yes")
    assert done.code == 0, done.err
    assert "answer was lost" in done.err


def test_upload_that_never_arrived_is_told_and_the_repeat_works(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    revoke = ("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    assert taken.run(*revoke).code == 9
    assert len(standing(taken)) == 2
    assert taken.run(*revoke).code == 0


def test_repeated_disable_is_no_error_and_repeated_revoke_says_that_it_is_gone(taken: Owner, pki: Path) -> None:
    disable = ("keys", "ca", "disable-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    assert [taken.run(*disable).code for _ in range(2)] == [0, 0]
    revoke = ("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--yes", "--json")
    assert taken.run(*revoke).code == 0
    repeated = taken.run(*revoke)
    assert repeated.error["code"] == "no-such-device-ca"
    assert "revoked already" in repeated.error["meaning"]


def test_refusal_of_the_server_is_shown_as_it_is(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Instead(400, b'{"message":"The CRL has expired.","code":"crl-expired"}'))
    done = taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-file", "local-ca.pem", "--yes", "--json")
    assert (done.code, done.error["code"]) == (3, "crl-expired")


def test_nothing_is_written_to_the_directory(taken: Owner, pki: Path) -> None:
    before = {name: (pki / name).read_bytes() for name in os.listdir(pki)}
    taken.run("keys", "ca", "disable-device-ca", pki, "--ca-file", "local-ca.pem", "--yes")
    assert {name: (pki / name).read_bytes() for name in os.listdir(pki)} == before


def test_before_the_take_over_there_is_nothing_to_revoke(owner: Owner, taken_elsewhere: Path) -> None:
    done = owner.run("keys", "ca", "revoke-device-ca", taken_elsewhere, "--ca-file", "local-ca.pem", "--yes", "--json")
    assert (done.code, done.error["code"]) == (6, "pki-not-set-up")
