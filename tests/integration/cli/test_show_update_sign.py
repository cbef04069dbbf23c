"""`ownroot keys ca show`, `update` and `sign` through the real program."""

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.clock import utc_now
from tests.support.certificates import device_ca, factory_root, gateway_tls
from tests.support.device_csrs import device_csr
from tests.support.openssl_owner import OpensslOwner
from tests.support.owner import Owner
from tests.support.relay import Instead, Relay
from tests.support.tools import require_tool
from tests.support.world import RunningServer


def test_shared_pki_is_shown_with_the_next_step(owner: Owner) -> None:
    done = owner.run("keys", "ca", "show", "--pretty")
    assert done.code == 0
    assert "shared PKI" in done.out
    assert "ownroot keys ca create" in done.out
    assert owner.run("keys", "ca", "show", "--json").json["next-step"].endswith("create DIR")


@pytest.mark.parametrize("part", ["--just-root", "--just-tls", "--just-device-cas"])
def test_part_of_a_pki_that_is_not_there_is_an_error_for_scripts(owner: Owner, part: str) -> None:
    done = owner.run("keys", "ca", "show", part, "--json")
    assert (done.code, done.out, done.error["code"]) == (6, "", "pki-not-set-up")


def test_just_parts_print_what_is_in_the_directory(taken: Owner, pki: Path) -> None:
    assert taken.run("keys", "ca", "show", "--just-root").out == (pki / "factory_ca.pem").read_text()
    assert taken.run("keys", "ca", "show", "--just-tls").out == (pki / "tls-crt").read_text()
    cas = (pki / "online-crt").read_text() + (pki / "local-ca.pem").read_text()
    assert taken.run("keys", "ca", "show", "--just-device-cas").out == cas


def test_pretty_names_standing_holder_validity_and_decimal_serial(taken: Owner, pki: Path) -> None:
    shown = taken.run("keys", "ca", "show", "--pretty").out
    serial = _openssl("x509", "-in", pki / "factory_ca.pem", "-noout", "-serial").strip().partition("=")[2]
    assert str(int(serial, 16)) in shown
    for text in (
        "Factory root",
        "Online device CA",
        "Local device CA",
        "Gateway TLS certificate",
        "valid",
        "years left",
    ):
        assert text in shown
    assert "the server" in shown
    assert "\x1b[" not in shown


def test_terminal_gets_colours_unless_told_otherwise(taken: Owner) -> None:
    assert "\x1b[" in taken.run_on_terminal("keys", "ca", "show", "--pretty").out
    assert "\x1b[3" not in taken.having(NO_COLOR="1").run_on_terminal("keys", "ca", "show", "--pretty").out


def test_json_tells_holder_and_standing_of_every_certificate(taken: Owner) -> None:
    shown = taken.run("keys", "ca", "show", "--json").json
    assert shown["taken-over"] is True
    assert [ca["kind"] for ca in shown["device-cas"]] == ["online-ca", "local-ca"]
    assert {ca["standing"] for ca in shown["device-cas"]} == {"valid"}
    assert shown["root"]["holder"] == "the owner"


def test_directory_tells_which_keys_are_in_it(taken: Owner, pki: Path) -> None:
    (pki / "local-ca.key").rename(pki / "elsewhere.key")
    (pki / "notes.pem").write_text("no certificate")
    shown = taken.run("keys", "ca", "show", "--pki-dir", pki, "--json").json
    assert shown["root"]["holder"] == f"you, file {pki / 'factory_ca.key'}"
    holders = {ca["kind"]: ca["holder"] for ca in shown["device-cas"]}
    assert holders == {"online-ca": "the server", "local-ca": "you, but not as a file local-ca.key"}


def test_directory_of_another_pki_tells_nothing(taken: Owner, taken_elsewhere: Path) -> None:
    shown = taken.run("keys", "ca", "show", "--pki-dir", taken_elsewhere, "--json").json
    assert shown["root"]["holder"] == "the owner"


def test_server_of_another_make_knows_no_issued_counts(taken: Owner, relay: Relay) -> None:
    relay.spoil = lambda request: Instead(404, b"{}") if request.path.endswith("/certs/health/") else None
    shown = taken.run("keys", "ca", "show", "--json").json
    assert [ca["issued"] for ca in shown["device-cas"]] == [None, None]


def test_devices_are_counted_under_the_ca_that_signed_them(taken: Owner, server: RunningServer) -> None:
    assert [ca["devices"] for ca in taken.run("keys", "ca", "show", "--json").json["device-cas"]] == [0, 0]
    _register(server)
    shown = taken.run("keys", "ca", "show", "--json").json
    assert {ca["kind"]: ca["devices"] for ca in shown["device-cas"]} == {"online-ca": 1, "local-ca": 0}
    assert {ca["kind"]: ca["issued"] for ca in shown["device-cas"]} == {"online-ca": 1, "local-ca": None}
    assert "devices" not in shown["root"]
    alone = taken.run("keys", "ca", "show", "--just-device-cas", "--json").json
    assert alone == shown["device-cas"]
    pretty = taken.run("keys", "ca", "show", "--pretty").out
    assert [count in pretty for count in ("1 whose last", "0 whose last", "2 whose last")] == [True, True, False]


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        ((), 1),
        (("--just-device-cas",), 1),
        (("--pretty",), 4),
        (("--json",), 4),
        (("--just-device-cas", "--json"), 4),
        (("--just-root", "--json"), 1),
        (("--just-tls", "--pretty"), 1),
    ],
)
def test_devices_are_asked_for_where_they_are_shown(
    taken: Owner, relay: Relay, arguments: tuple[str, ...], requests: int
) -> None:
    assert taken.run("keys", "ca", "show", *arguments).code == 0
    assert len(relay.lines) == requests


def test_token_that_may_not_list_devices_gets_all_but_the_counts(
    taken: Owner, server: RunningServer, relay: Relay
) -> None:
    reader = taken.having(OWNROOT_TOKEN=server.create_token("certs:read"))
    pretty = reader.run("keys", "ca", "show", "--pretty")
    assert (pretty.code, "this token may not list devices" in pretty.out) == (0, True)
    assert "Local device CA" in pretty.out
    assert "whose last" not in pretty.out
    assert len(relay.lines) == 3  # one refusal is enough
    cas = reader.run("keys", "ca", "show", "--json").json["device-cas"]
    assert [(ca["standing"], ca["devices"]) for ca in cas] == [("valid", None), ("valid", None)]
    assert "may not list" not in taken.run("keys", "ca", "show", "--pretty").out


def test_failure_that_is_no_refusal_is_not_taken_for_one(taken: Owner, relay: Relay) -> None:
    relay.spoil_once("GET", "devices/", Instead(503, b'{"message":"later"}'))
    assert taken.run("keys", "ca", "show", "--json").error["code"] == "http-503"


def test_certificate_past_its_last_safe_day_is_red_and_says_act_now(taken: Owner, relay: Relay) -> None:
    now = utc_now()
    root = factory_root(now=now)
    late = gateway_tls(root, not_before=now - timedelta(days=3650), not_after=now + timedelta(days=20))
    certs = {"root-crt": root.pem, "tls-crt": late.pem, "ca-crt": device_ca(root, now=now).pem}
    relay.spoil_once("GET", "certs/", Instead(200, json.dumps(certs).encode()))
    shown = taken.run_on_terminal("keys", "ca", "show", "--pretty").out
    day = (now - timedelta(days=10)).date()
    assert f"\x1b[1;31mact now: last safe day was {day}" in shown
    assert shown.count("act now") == 1
    assert shown.count("the last safe day") == 2


def test_control_sequences_from_a_server_are_shown_not_obeyed(owner: Owner, relay: Relay) -> None:
    relay.spoil = lambda _request: Instead(409, b'{"message":"\\u001b[2J\\u001b]0;owned\\u0007 gone"}')
    done = owner.run("keys", "ca", "show")
    assert done.code == 7
    assert "\x1b" not in done.err
    assert "\\x1b[2J" in done.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Instead(500, b""), "http-500"),
        (Instead(503, b'{"message":"later"}'), "http-503"),
        (Instead(200, b"<html>"), "bad-answer"),
        (Instead(200, b"[]"), "bad-answer"),
        (Instead(200, b'{"root-crt":5}'), "bad-answer"),
        (Instead(200, b"[" * 100_000), "bad-answer"),
        (Instead(200, b'{"root-crt":"-----BEGIN CERTIFICATE-----"}'), "pem-malformed"),
        (Instead(404, b'{"message":"no such factory","code":"factory-unknown"}'), "factory-unknown"),
        (Instead(418, b'{"detail":"tea"}'), "http-418"),
        (Instead(401, b"nobody", "text/plain"), "http-401"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
def test_every_bad_answer_has_its_error_and_no_traceback(
    owner: Owner, relay: Relay, answer: Instead, code: str
) -> None:
    relay.spoil = lambda _request: answer
    done = owner.run("keys", "ca", "show", "--json")
    assert done.error["code"] == code
    assert "Traceback" not in done.err


def test_update_sends_a_file_as_it_is(taken: Owner, relay: Relay, pki: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "cas.pem"
    bundle.write_text("  \n" + (pki / "local-ca.pem").read_text() + "\n\n" + (pki / "online-crt").read_text())
    assert taken.run("keys", "ca", "update", bundle).code == 0
    assert json.loads(relay.requests[-1].body) == {"ca-crt": bundle.read_text()}


def test_update_with_a_directory_adds_what_its_root_has_signed(taken: Owner, pki: Path, tmp_path: Path) -> None:
    maker = OpensslOwner(tmp_path, taken.environment["OWNROOT_FACTORY"])
    (tmp_path / "root.key").write_bytes((pki / "factory_ca.key").read_bytes())
    (tmp_path / "root.pem").write_bytes((pki / "factory_ca.pem").read_bytes())
    (pki / "line-2.pem").write_text(maker.make_local_ca("fio-line-2"))
    assert taken.run("keys", "ca", "update", pki).code == 0
    assert len(taken.run("keys", "ca", "show", "--json").json["device-cas"]) == 3


def test_update_that_leaves_out_a_trusted_ca_is_refused_with_its_serial(taken: Owner, pki: Path) -> None:
    done = taken.run("keys", "ca", "update", pki / "local-ca.pem", "--json")
    assert done.code == 7
    online = _openssl("x509", "-in", pki / "online-crt", "-noout", "-serial").strip().partition("=")[2]
    assert str(int(online, 16)) in done.error["message"] + str(done.error["fields"])


def test_update_before_the_take_over_is_refused(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "cas.pem").write_text("")
    assert owner.run("keys", "ca", "update", tmp_path / "cas.pem", "--json").error["code"] == "no-device-cas"


def test_sign_keeps_names_of_every_kind_and_needs_no_server(
    taken: Owner, stranger: Owner, relay: Relay, pki: Path, tmp_path: Path
) -> None:
    names = "DNS:api.example.test,IP:10.0.0.1,URI:https://example.test/,email:a@example.test"
    csr = _csr(tmp_path, "/CN=api/OU=acme", f"subjectAltName={names}")
    relay.requests.clear()
    done = stranger.run("keys", "ca", "sign", "--pki-dir", pki, csr)
    assert done.code == 0, done.err
    (tmp_path / "api.pem").write_text(done.out)
    text = _openssl("x509", "-in", tmp_path / "api.pem", "-noout", "-text")
    for name in ("DNS:api.example.test", "IP Address:10.0.0.1", "URI:https://example.test/", "email:a@example.test"):
        assert name in text
    assert "CA:TRUE" not in text
    _openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", pki / "factory_ca.pem", tmp_path / "api.pem")
    assert relay.requests == []


def test_sign_makes_a_device_ca_of_a_request_for_one(taken: Owner, pki: Path, tmp_path: Path) -> None:
    csr = _csr(tmp_path, "/CN=fio-site/OU=acme", "basicConstraints=critical,CA:TRUE,pathlen:5")
    done = taken.run("keys", "ca", "sign", "--pki-dir", pki, csr, "--json").json
    (tmp_path / "ca.pem").write_text(done["certificate"])
    assert "CA:TRUE, pathlen:0" in _openssl("x509", "-in", tmp_path / "ca.pem", "-noout", "-text")
    assert done["serial"].isdigit()


def test_sign_reads_stdin(taken: Owner, pki: Path, tmp_path: Path) -> None:
    csr = _csr(tmp_path, "/CN=api/OU=acme", "subjectAltName=DNS:api.example.test").read_text()
    assert taken.run("keys", "ca", "sign", "--pki-dir", pki, "-", stdin=csr).out.startswith("-----BEGIN CERTIFICATE")


def test_sign_refuses_a_request_whose_signature_is_broken(taken: Owner, pki: Path, tmp_path: Path) -> None:
    der = tmp_path / "csr.der"
    _openssl("req", "-in", _csr(tmp_path, "/CN=api", "subjectAltName=DNS:a.test"), "-outform", "DER", "-out", der)
    der.write_bytes(der.read_bytes()[:-1] + bytes((der.read_bytes()[-1] ^ 1,)))
    _openssl("req", "-in", der, "-inform", "DER", "-out", tmp_path / "broken.csr")
    done = taken.run("keys", "ca", "sign", "--pki-dir", pki, tmp_path / "broken.csr", "--json")
    assert (done.code, done.error["code"]) == (3, "csr-signature")


@pytest.mark.parametrize("missing", ["factory_ca.key", "factory_ca.pem"])
def test_sign_without_the_root_says_which_file_is_missing(
    taken: Owner, pki: Path, tmp_path: Path, missing: str
) -> None:
    csr = _csr(tmp_path, "/CN=api", "subjectAltName=DNS:a.test")
    (pki / missing).unlink()
    done = taken.run("keys", "ca", "sign", "--pki-dir", pki, csr, "--json")
    assert (done.code, done.error["code"]) == (6, "pki-directory-incomplete")
    assert missing in done.error["message"]


def test_sign_works_with_a_pkcs8_root_made_by_openssl(stranger: Owner, server: RunningServer, tmp_path: Path) -> None:
    maker = OpensslOwner(tmp_path, server.factory, curve="secp384r1")
    maker.make_root()
    _openssl("pkcs8", "-topk8", "-nocrypt", "-in", tmp_path / "root.key", "-out", tmp_path / "factory_ca.key")
    (tmp_path / "root.pem").rename(tmp_path / "factory_ca.pem")
    csr = _csr(tmp_path, "/CN=api", "subjectAltName=DNS:a.test")
    done = stranger.run("keys", "ca", "sign", "--pki-dir", tmp_path, csr)
    assert done.code == 0, done.err
    (tmp_path / "api.pem").write_text(done.out)
    _openssl("verify", "-CAfile", tmp_path / "factory_ca.pem", tmp_path / "api.pem")


def _register(server: RunningServer) -> None:
    uuid = "11111111-2222-4333-8444-555555555555"
    document = {"csr": device_csr(uuid, factory=server.factory), "hardware-id": "h", "uuid": uuid, "name": "pump-1"}
    answer = server.call("POST", "/ota/devices/", document=document)
    assert answer.status_code == 201, answer.text


def _csr(folder: Path, subject: str, *extensions: str) -> Path:
    path = folder / "request.csr"
    arguments = [
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        folder / "request.key",
    ]
    for extension in extensions:
        arguments += ["-addext", extension]
    _openssl("req", *arguments, "-subj", subject, "-out", path)
    return path


def _openssl(*arguments: str | Path) -> str:
    done = subprocess.run([require_tool("openssl"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
