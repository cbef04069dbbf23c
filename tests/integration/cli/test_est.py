"""`ownroot keys est authorize` and `show` through the real program."""

import json
import os
from pathlib import Path

from tests.support.openssl_checks import is_issued_by, openssl
from tests.support.owner import Owner
from tests.support.relay import Fault, Instead, Relay
from tests.support.world import RunningServer


def test_authorize_asks_signs_sends_and_prints_the_certificate_and_keeps_none(
    taken: Owner, relay: Relay, pki: Path
) -> None:
    before = sorted(os.listdir(pki))
    done = taken.run("keys", "est", "authorize", pki)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in relay.lines] == ["GET", "POST", "PATCH"]
    asked = {"first-time-init": False, "ca-csr": False, "est-tls-csr": True, "tls-csr": False}
    assert json.loads(relay.requests[1].body) == asked
    assert json.loads(relay.requests[2].body) == {"est-tls-crt": done.out}
    assert sorted(os.listdir(pki)) == before
    assert taken.run("keys", "est", "show").out == done.out


def test_openssl_accepts_it_and_it_names_one_host(taken: Owner, pki: Path, tmp_path: Path) -> None:
    made = taken.run("keys", "est", "authorize", pki, "--json").json
    (tmp_path / "est.pem").write_text(made["certificate"])
    assert is_issued_by(tmp_path / "est.pem", pki / "factory_ca.pem", purpose="sslserver")
    assert openssl("x509", "-in", tmp_path / "est.pem", "-noout", "-text").count("DNS:") == 1
    assert len(made["dns-names"]) == 1


def test_authorizing_again_replaces_it(taken: Owner, pki: Path) -> None:
    first, second = (taken.run("keys", "est", "authorize", pki).out for _ in range(2))
    assert first != second
    assert taken.run("keys", "est", "show").out == second


def test_show_without_one_says_so_and_what_to_do(taken: Owner) -> None:
    done = taken.run("keys", "est", "show", "--json")
    assert (done.code, done.out, done.error["code"]) == (6, "", "est-not-authorized")
    assert "keys est authorize" in done.error["remedy"]


def test_show_before_the_take_over_says_what_comes_first(owner: Owner) -> None:
    assert owner.run("keys", "est", "show", "--json").error["code"] == "pki-not-set-up"


def test_pretty_names_host_validity_and_holder(taken: Owner, pki: Path) -> None:
    made = taken.run("keys", "est", "authorize", pki, "--json").json
    shown = taken.run("keys", "est", "show", "--pretty").out
    for text in ("EST TLS certificate  valid", made["dns-names"][0], made["serial"], "the server"):
        assert text in shown


def test_lost_answer_is_looked_up(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.ANSWER_LOST)
    done = taken.run("keys", "est", "authorize", pki)
    assert done.code == 0, done.err
    assert taken.run("keys", "est", "show").out == done.out


def test_upload_that_never_arrived_is_told_and_the_repeat_works(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    done = taken.run("keys", "est", "authorize", pki)
    assert (done.code, done.out) == (9, "")
    assert taken.run("keys", "est", "show").code == 6
    assert taken.run("keys", "est", "authorize", pki).code == 0


def test_csr_for_two_hosts_is_refused_and_nothing_is_sent(
    taken: Owner, server: RunningServer, relay: Relay, pki: Path, tmp_path: Path
) -> None:
    csr = openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", tmp_path / "est.key", "-subj", f"/CN=est/OU={server.factory}"),
        *("-addext", "subjectAltName=DNS:a.example.test,DNS:b.example.test"),
    )
    relay.spoil_once("POST", "certs/", Instead(201, json.dumps({"est-tls-csr": csr}).encode()))
    done = taken.run("keys", "est", "authorize", pki, "--json")
    assert (done.code, done.error["code"]) == (3, "csr-est-names")
    assert not [line for line in relay.lines if line.startswith("PATCH")]
