"""A server that starts has seen that everything belongs together; one that does not says what is wrong, in which file.

Source: registration.md §12 row 17.
"""

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.registration_site.test_sign import request
from tests.support.openssl_owner import OpensslOwner
from tests.support.registration_site import make_pki, owner_of, registration_site
from tests.support.softhsm import LABEL, PIN, soft_hsm
from tests.support.world import PROGRAM


def other_key(pki: Path) -> None:
    owner_of(pki).make_local_ca("fio-other", name="other")
    shutil.copy(pki / "other.key", pki / "local-ca.key")


def other_root(pki: Path) -> None:
    owner_of(pki).make_root(name="stranger")
    shutil.copy(pki / "stranger.pem", pki / "factory_ca.pem")


def device_in_place_of_the_ca(pki: Path) -> None:
    key, certificate = owner_of(pki).make_device("dev-1")
    shutil.copy(certificate, pki / "local-ca.pem")
    shutil.copy(key, pki / "local-ca.key")


def tls_of_another_root(pki: Path) -> None:
    owner = owner_of(pki)
    owner.make_root(name="stranger")
    owner.make_server("gw2", "gw.example", root="stranger")
    shutil.copy(pki / "gw2.pem", pki / "tls-crt")


def no_key(pki: Path) -> None:
    (pki / "local-ca.key").unlink()


def text_in_place_of_a_certificate(pki: Path) -> None:
    (pki / "tls-crt").write_text("nothing")


def ca_of_another_factory(pki: Path) -> None:
    stranger = OpensslOwner(pki, "other")
    stranger.make_local_ca("fio-other", name="other")
    shutil.copy(pki / "other.pem", pki / "local-ca.pem")
    shutil.copy(pki / "other.key", pki / "local-ca.key")


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "key": (other_key, "issuer-key-mismatch", "local-ca.key"),
    "root": (other_root, "ca-not-signed-by-root", "local-ca.pem"),
    "no CA": (device_in_place_of_the_ca, "ca-not-ca", "local-ca.pem"),
    "gateway": (tls_of_another_root, "tls-not-signed-by-root", "tls-crt"),
    "no key": (no_key, "file-unreadable", "local-ca.key"),
    "no certificate": (text_in_place_of_a_certificate, "pem-missing", "tls-crt"),
    "factory": (ca_of_another_factory, "root-factory", "factory_ca.pem"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_parts_that_do_not_belong_together_are_named(fault: str, tmp_path: Path) -> None:
    spoil, code, file = FAULTS[fault]
    pki = make_pki(tmp_path / "pki")
    spoil(pki)
    with registration_site(tmp_path, pki=pki, start=False) as site:
        said = site.refuse_to_start()
    assert code in said
    assert file in said


def test_options_of_the_site_stand_behind_its_name(pki: Path, tmp_path: Path) -> None:
    command = [PROGRAM, "serve", "--data", str(tmp_path), "registration", "--pki-dir", str(pki)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "behind its name" in done.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [("quotas = 5\n", "no setting 'quotas'"), ("quota = [\n", "config-invalid"), ("quota = 'many'\n", "quota")],
)
def test_settings_file_with_a_fault_is_refused(pki: Path, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with registration_site(tmp_path, pki=pki, start=False) as site:
        assert code in site.refuse_to_start("--config", str(tmp_path / "site.toml"))


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ('quota = "5"', "a number"),
        ("quota = true", "a number"),
        ('hook-seconds = "0.5"', "a number"),
        ('require-token = "no"', "true or false"),
        ('behind-proxy = "10.0.0.0/8"', "a list"),
        ('tls = "site.crt"', "a list"),
    ],
)
def test_setting_of_another_kind_is_refused_with_the_kind_it_wants(
    pki: Path, tmp_path: Path, setting: str, kind: str
) -> None:
    (tmp_path / "site.toml").write_text(setting)
    with registration_site(tmp_path, pki=pki, start=False) as site:
        said = site.refuse_to_start("--config", str(tmp_path / "site.toml"))
    assert "config-invalid" in said
    assert f"{setting.split(maxsplit=1)[0]} is {kind}" in said


def test_settings_of_the_right_kinds_are_taken(pki: Path, tmp_path: Path) -> None:
    settings = 'quota = 5\nhook-seconds = 1\nrequire-token = true\nbehind-proxy = ["10.0.0.0/8"]\ngroup = "edge"\n'
    (tmp_path / "site.toml").write_text(settings)
    with registration_site(tmp_path, "--config", str(tmp_path / "site.toml"), pki=pki) as site:
        assert site.sign(request("board-1")).problem["code"] == "token-missing"


def test_clock_that_went_back_is_noticed(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=pki) as site:
        assert site.sign(request("board-1")).status == 201
        site.stop()
        with sqlite3.connect(site.data / "journal.db") as journal:
            journal.execute(
                "INSERT INTO log SELECT 99, '2099-01-01T00:00:00Z', decision, '', '', '', '', '', '', NULL,"
                " NULL, NULL FROM log LIMIT 1"
            )
        assert "clock-behind-journal" in site.refuse_to_start()


def test_second_server_on_one_journal_is_refused(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=pki) as site:
        assert "already-serving" in site.refuse_to_start()


def test_key_on_a_token_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pki, hsm = make_pki(tmp_path / "pki"), soft_hsm(tmp_path / "hsm")
    pem, der = pki / "local-ca.key", pki / "local-ca.der"
    owner = owner_of(pki)
    owner._run("pkcs8", "-topk8", "-nocrypt", "-in", str(pem), "-outform", "DER", "-out", str(der))
    hsm.pkcs11_tool("--write-object", str(der), "--type", "privkey", "--label", "line-ca", "--id", "07")
    owner._run("pkey", "-in", str(pem), "-pubout", "-outform", "DER", "-out", str(der))
    hsm.pkcs11_tool("--write-object", str(der), "--type", "pubkey", "--label", "line-ca", "--id", "07")
    pem.unlink()
    monkeypatch.setenv("OWNROOT_HSM_PIN", PIN)
    options = ("--hsm-module", str(hsm.module), "--hsm-token-label", LABEL, "--local-ca-hsm-label")
    with registration_site(tmp_path, *options, "line-ca", pki=pki, environment=hsm.environment) as site:
        assert site.sign(request("board-1")).status == 201
    with registration_site(tmp_path, *options, "none", pki=pki, environment=hsm.environment, start=False) as site:
        assert "local-ca-key-missing" in site.refuse_to_start()


def test_stopped_server_leaves_no_report_and_ends_well(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=pki) as site:
        assert (site.data / "serve-registration.json").exists()
        site.stop()
        assert site.process is not None
        assert site.process.returncode == 0
        assert not (site.data / "serve-registration.json").exists()


def test_health_readiness_and_metrics_answer(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, pki=pki) as site:
        assert site.send("GET", "/healthz").document == {"status": "ok"}
        assert site.send("GET", "/readyz").document == {"status": "ok"}
        assert site.metric("ownroot_registration_ca_seconds_left") > 0
