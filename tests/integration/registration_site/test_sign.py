"""`POST /sign` as devices of the field use it: what they get, when they get it again, and when they do not.

Source: registration.md §4-8, §13.
"""

import time
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import parse_certificate, parse_certificates, subject_der
from ownroot.pki.names import read_subject
from tests.conformance.judges import lint, openssl_verify
from tests.support.device_csrs import device_csr, new_key, plain_csr
from tests.support.openssl_owner import HABITS
from tests.support.registration_server import Answer
from tests.support.registration_site import GATEWAY, OSTREE, RegistrationSite, make_pki, registration_site
from tests.support.world import START_SECONDS


def request(uuid: str, **members: object) -> dict[str, object]:
    """A registration that is right but for what a test changes."""
    return {"csr": device_csr(uuid), "hardware-id": "intel-corei7-64", "uuid": uuid} | members


def await_readiness(site: RegistrationSite, status: int) -> Answer:
    """Ask until the site sees that a file changed; it looks once a second."""
    deadline = time.monotonic() + START_SECONDS
    while (answer := site.send("GET", "/readyz")).status != status:
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def test_device_gets_four_files_that_belong_together(site: RegistrationSite) -> None:
    files = site.sign(request("files-1")).files
    assert sorted(files) == ["client.chained", "client.pem", "root.crt", "sota.toml"]
    certificate, ca = parse_certificates(files["client.chained"])
    assert parse_certificate(files["client.pem"]) == certificate
    assert is_signed_by(certificate, ca)
    assert is_signed_by(ca, parse_certificate(files["root.crt"]))


def test_settings_name_the_gateway_and_ostree_host_of_the_factorys_certificate(site: RegistrationSite) -> None:
    settings = tomllib.loads(site.sign(request("settings-1")).files["sota.toml"])
    assert settings["tls"]["server"] == f"https://{GATEWAY}:8443"
    assert settings["pacman"]["ostree_server"] == f"https://{OSTREE}:8443/ostree"


def test_device_that_wants_no_ostree_host_gets_the_gateways(site: RegistrationSite) -> None:
    files = site.sign(request("settings-2", **{"use-ostree-server": "false"})).files
    assert tomllib.loads(files["sota.toml"])["pacman"]["ostree_server"] == f"https://{GATEWAY}:8443/ostree"


def test_other_program_of_the_field_gets_its_subject_back_octet_by_octet(site: RegistrationSite) -> None:
    csr = plain_csr("plain-1")
    files = site.sign({"csr": csr, "hardware-id": "h", "overrides": {"pacman": {"root": "/var/sota/apps"}}}).files
    asked = x509.load_pem_x509_csr(csr.encode()).subject
    assert subject_der(parse_certificate(files["client.pem"])) == asked.public_bytes()
    assert tomllib.loads(files["sota.toml"])["pacman"]["root"] == "/var/sota/apps"


def test_certificate_ends_with_its_ca_at_the_latest(site: RegistrationSite) -> None:
    certificate, ca = parse_certificates(site.sign(request("end-1")).files["client.chained"])
    assert certificate.not_valid_after_utc == ca.not_valid_after_utc
    assert utc_now() - certificate.not_valid_before_utc < timedelta(minutes=6)


def test_certificate_begins_the_operators_margin_before_its_making(pki: Path, tmp_path: Path) -> None:
    started = utc_now()
    with registration_site(tmp_path, "--backdate-minutes", "40", pki=pki) as site:
        certificate = parse_certificate(site.sign(request("margin-1")).files["client.pem"])
    assert started <= certificate.not_valid_before_utc + timedelta(minutes=40) <= utc_now()


@pytest.mark.parametrize("production", ["forbid", "force"])
def test_independent_judges_find_no_fault_with_a_certificate(pki: Path, tmp_path: Path, production: str) -> None:
    with registration_site(tmp_path, "--production", production, pki=pki) as site:
        files = site.sign(request("judged-1")).files
    chain, root = parse_certificates(files["client.chained"]), parse_certificate(files["root.crt"])
    assert lint(chain[0]) == []
    assert openssl_verify(chain, root, purpose="sslclient", at=utc_now()) == "OK"
    assert openssl_verify(chain, root, purpose="sslserver", at=utc_now()) != "OK"


@pytest.mark.parametrize("habit", HABITS)
def test_hand_made_pki_of_any_habit_serves(habit: str, tmp_path: Path) -> None:
    pki = make_pki(tmp_path / "pki", habit=HABITS[habit])
    with registration_site(tmp_path, pki=pki) as site:
        assert site.sign(request("dev-1")).status == 201


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_ping_is_answered_at_once_without_token(site: RegistrationSite, method: str) -> None:
    assert site.send(method, "/sign").status == 405


def test_same_request_again_gets_the_same_certificate(site: RegistrationSite) -> None:
    document = request("repeat-1")
    first, again = site.sign(document), site.sign(document)
    assert first.files["client.pem"] == again.files["client.pem"]
    decisions = [entry["decision"] for entry in site.entries() if entry["uuid"] == "repeat-1"]
    assert decisions == ["registered", "repeated"]


def test_same_uuid_with_another_key_is_refused_with_who_and_when(site: RegistrationSite) -> None:
    assert site.sign(request("taken-1")).status == 201
    refused = site.sign(request("taken-1"))
    assert refused.status == 409
    assert refused.problem["code"] == "device-uuid-taken"
    assert f"{utc_now():%Y-%m-%d}" in refused.problem["message"]
    assert "station" in refused.problem["message"]


def test_same_uuid_with_another_key_replaces_where_the_operator_says_so(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--reregister", "replace", pki=pki) as site:
        first, second = site.sign(request("board-1")), site.sign(request("board-1"))
        assert first.files["client.pem"] != second.files["client.pem"]
        assert [entry["decision"] for entry in site.entries()] == ["registered", "replaced"]


def test_uuid_that_differs_in_case_only_is_refused(site: RegistrationSite) -> None:
    assert site.sign(request("case-1")).status == 201
    assert site.sign(request("CASE-1")).problem["code"] == "device-uuid-case-twin"


def test_name_of_another_device_is_refused(site: RegistrationSite) -> None:
    assert site.sign(request("name-1", name="pump")).status == 201
    refused = site.sign(request("name-2", name="pump"))
    assert (refused.status, refused.problem["errors"]) == (409, {"name": "in use"})
    assert site.sign(request("name-2", name="pump-2")).status == 201


def test_uuid_of_another_device_is_no_name(site: RegistrationSite) -> None:
    assert site.sign(request("uuid-1")).status == 201
    assert site.sign(request("uuid-2", name="uuid-1")).problem["code"] == "device-name-taken"


def test_key_of_another_device_is_refused(site: RegistrationSite) -> None:
    key = new_key()
    assert site.sign(request("key-1", csr=device_csr("key-1", key=key))).status == 201
    refused = site.sign(request("key-2", csr=device_csr("key-2", key=key)))
    assert (refused.status, refused.problem["code"]) == (409, "device-key-taken")


# --- policy ----------------------------------------------------------------------------------------------------------


def test_device_does_not_call_itself_a_production_device(site: RegistrationSite) -> None:
    refused = site.sign(request("prod-1", csr=device_csr("prod-1", production=True)))
    assert (refused.status, refused.problem["code"]) == (403, "production-forbidden")


def test_site_may_let_it(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--production", "allow", pki=pki) as site:
        files = site.sign(request("prod-1", csr=device_csr("prod-1", production=True))).files
        assert read_subject(parse_certificate(files["client.pem"]).subject).is_production
        files = site.sign(request("test-1")).files
        assert not read_subject(parse_certificate(files["client.pem"]).subject).is_production


def test_site_may_make_every_device_a_production_device(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--production", "force", pki=pki) as site:
        files = site.sign(request("prod-1")).files
        assert read_subject(parse_certificate(files["client.pem"]).subject).is_production


def test_listed_device_gets_name_and_group_of_the_list_and_others_nothing(pki: Path, tmp_path: Path) -> None:
    boards = tmp_path / "boards.csv"
    boards.write_text("uuid,hardware-id,name,group\nboard-1,,pump-1,edge\n,imx8,,\n")
    with registration_site(tmp_path, "--allow-list", str(boards), pki=pki) as site:
        assert site.sign(request("board-1")).status == 201
        assert site.sign(request("any-1", **{"hardware-id": "imx8"})).status == 201
        refused = site.sign(request("board-2"))
        assert (refused.status, refused.problem["code"]) == (403, "not-on-allow-list")
        assert [entry["name"] for entry in site.entries("registered")] == ["pump-1", "any-1"]


def test_list_that_was_broken_during_the_shift_closes_the_site(pki: Path, tmp_path: Path) -> None:
    boards = tmp_path / "boards.csv"
    boards.write_text("uuid\nboard-1\n")
    with registration_site(tmp_path, "--allow-list", str(boards), pki=pki) as site:
        boards.write_text("uid\nboard-1\n")
        problem = await_readiness(site, 503).problem
        assert problem["code"] == "allow-list-unusable"
        assert str(boards) not in problem["message"]
        assert site.sign(request("board-1")).status == 503
        assert site.log.count(f"{boards}: ") == 1  # for its operator, once, with the reason
        assert "uid" in site.log.partition(f"{boards}: ")[2]
        boards.write_text("uuid\nboard-1\nboard-2\n")
        await_readiness(site, 200)
        assert site.sign(request("board-2")).status == 201


def test_quota_counts_certificates_and_neither_repeats_nor_refusals(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path, "--quota", "2", pki=pki) as site:
        document = request("board-1")
        assert [site.sign(document).status for _ in range(3)] == [201, 201, 201]
        assert site.sign(request("board-1")).status == 409
        assert site.sign(request("board-2")).status == 201
        refused = site.sign(request("board-3"))
        assert (refused.status, refused.problem["code"]) == (403, "quota-used-up")
        assert site.sign(document).status == 201


def test_quota_of_the_day_and_window_hold(pki: Path, tmp_path: Path) -> None:
    with registration_site(tmp_path / "a", "--quota-per-day", "1", pki=pki) as site:
        assert site.sign(request("board-1")).status == 201
        assert site.sign(request("board-2")).problem["code"] == "quota-used-up"
    with registration_site(tmp_path / "b", "--closes", "2026-01-01", pki=pki) as site:
        assert site.sign(request("board-1")).problem["code"] == "window-closed"
    with registration_site(tmp_path / "c", "--opens", "2126-01-01", pki=pki) as site:
        assert site.sign(request("board-1")).problem["code"] == "window-not-open-yet"


def test_settings_may_stand_in_a_file(pki: Path, tmp_path: Path) -> None:
    (tmp_path / "boards.csv").write_text("uuid\nboard-1\n")
    config = tmp_path / "site.toml"
    config.write_text('allow-list = "boards.csv"\nquota = 5\n')
    with registration_site(tmp_path, "--config", str(config), pki=pki) as site:
        assert site.sign(request("board-1")).status == 201
        assert site.sign(request("board-2")).status == 403


def test_journal_shows_request_decision_certificate_and_station(site: RegistrationSite) -> None:
    files = site.sign(request("log-1")).files
    (entry,) = [entry for entry in site.entries() if entry["uuid"] == "log-1"]
    serial = str(parse_certificate(files["client.pem"]).serial_number)
    assert (entry["decision"], entry["serial"], entry["client-address"]) == ("registered", serial, "127.0.0.1")
