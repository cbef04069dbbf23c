"""`ownroot trust export`: the fleet's trust as files, checked against a pinned root; real server, real programs."""

import base64
import json
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ownroot.clock import utc_now
from ownroot.pki.encoding import certificate_der, parse_certificates
from tests.support.certificates import Pair, device_certificate, make_key, sha1_key_identifier
from tests.support.customer_api import haproxy_lines
from tests.support.openssl_checks import run_openssl
from tests.support.owner import Owner
from tests.support.tools import require_tool


def _export(owner: Owner, pki: Path, *more: str | Path, form: str = "pem") -> str:
    done = owner.run("trust", "export", "--root", pki / "factory_ca.pem", "--format", form, *more)
    assert done.code == 0, done.err
    return done.out


def test_pem_holds_the_device_cas_and_not_the_root(taken: Owner, pki: Path) -> None:
    exported = parse_certificates(_export(taken, pki))
    root = x509.load_pem_x509_certificate((pki / "factory_ca.pem").read_bytes())
    assert len(exported) == 2
    assert root not in exported


def test_nothing_is_exported_under_another_root(taken: Owner, pki: Path, taken_elsewhere: Path, tmp_path: Path) -> None:
    place = tmp_path / "out"
    other = taken_elsewhere / "factory_ca.pem"
    done = taken.run("trust", "export", "--root", other, "--dir", place, "--json")
    assert done.error["code"] == "root-other"
    assert not place.exists()


def test_a_root_must_be_named(taken: Owner) -> None:
    assert taken.run("trust", "export", "--json").error["code"] == "root-not-pinned"


def test_disabled_ca_stays_and_revoked_ca_goes(taken: Owner, pki: Path) -> None:
    serial = str(x509.load_pem_x509_certificate((pki / "local-ca.pem").read_bytes()).serial_number)
    assert taken.run("keys", "ca", "disable-device-ca", pki, "--ca-serial", serial, "--yes").code == 0
    document = json.loads(_export(taken, pki, "--json"))
    assert {"serial": serial, "disabled": True} in document["device-cas"]
    assert taken.run("keys", "ca", "revoke-device-ca", pki, "--ca-serial", serial, "--yes").code == 0
    document = json.loads(_export(taken, pki, "--json"))
    assert serial not in [ca["serial"] for ca in document["device-cas"]]


def test_factory_on_the_shared_pki_has_nothing_to_pin(owner: Owner, taken_elsewhere: Path) -> None:
    done = owner.run("trust", "export", "--root", taken_elsewhere / "factory_ca.pem", "--json")
    assert done.error["code"] == "pki-not-set-up"


def test_jwks_names_each_key_by_its_hash_and_carries_the_certificate(taken: Owner, pki: Path) -> None:
    keys = json.loads(_export(taken, pki, form="jwks"))["keys"]
    pem = parse_certificates(_export(taken, pki))
    assert [base64.b64decode(key["x5c"][0]) for key in keys] == [certificate_der(ca) for ca in pem]
    assert {(key["kty"], key["crv"], key["use"]) for key in keys} == {("EC", "P-256", "sig")}


def test_second_export_changes_no_file(taken: Owner, pki: Path, tmp_path: Path) -> None:
    _export(taken, pki, "--dir", tmp_path / "out", form="haproxy")
    before = {file.name: file.stat().st_ino for file in (tmp_path / "out").iterdir()}
    _export(taken, pki, "--dir", tmp_path / "out", form="haproxy")
    assert {file.name: file.stat().st_ino for file in (tmp_path / "out").iterdir()} == before
    assert {oct(file.stat().st_mode & 0o777) for file in (tmp_path / "out").iterdir()} == {"0o644"}


def test_envoy_resource_holds_the_bundle(taken: Owner, pki: Path) -> None:
    # No Envoy has read it, there is no package of it here. The names are those of Envoy's API v3: a DiscoveryResponse
    # with one Secret (fields `name`, `validation_context`), whose `trusted_ca` is a DataSource; Envoy refuses others.
    document = json.loads(_export(taken, pki, form="envoy"))
    bundle = document["resources"][0]["validation_context"]["trusted_ca"]["inline_string"]
    secret = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "ownroot-device-cas",
        "validation_context": {"trusted_ca": {"inline_string": bundle}},
    }
    assert document == {"resources": [secret]}
    exported = {ca.serial_number for ca in parse_certificates(_export(taken, pki))}
    assert {anchor.serial_number for anchor in parse_certificates(bundle)} == exported


def test_format_of_several_files_needs_a_directory(taken: Owner, pki: Path) -> None:
    arguments = ("trust", "export", "--pki-dir", pki, "--format", "nginx", "--json")
    assert taken.run(*arguments).error["code"] == "directory-missing"


def test_unwritable_directory_is_named(taken: Owner, pki: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = ("trust", "export", "--pki-dir", pki, "--dir", tmp_path / "file" / "below", "--json")
    assert taken.run(*arguments).error["code"] == "trust-directory-unwritable"


def test_haproxy_takes_the_bundle_and_openssl_finds_devices_of_other_tools_by_it(
    taken: Owner, pki: Path, tmp_path: Path
) -> None:
    _export(taken, pki, "--dir", tmp_path / "out", form="haproxy")
    key = load_pem_private_key((pki / "local-ca.key").read_bytes(), None)
    ca = Pair(x509.load_pem_x509_certificate((pki / "local-ca.pem").read_bytes()), key)  # type: ignore[arg-type]
    leaf, factory = tmp_path / "leaf.pem", taken.environment["OWNROOT_FACTORY"]
    odd = sha1_key_identifier(ca.key)
    for signer, verdict in ((ca.key, 0), (make_key(), 2)):
        device = device_certificate(ca, "d-1", factory, now=utc_now(), authority_key_identifier=odd, signer=signer)
        leaf.write_text(device.pem)
        bundle = tmp_path / "out" / "device-cas.pem"
        assert run_openssl("verify", "-CAfile", bundle, leaf).returncode == verdict


def test_haproxy_reads_the_lines_it_is_given(taken: Owner, pki: Path, tmp_path: Path) -> None:
    program = require_tool("haproxy")
    _export(taken, pki, "--dir", tmp_path / "out", form="haproxy")
    (tmp_path / "api.pem").write_text((pki / "local-ca.pem").read_text() + (pki / "local-ca.key").read_text())
    text = haproxy_lines(tmp_path / "out", certificate=tmp_path / "api.pem", address=":18443")
    config = tmp_path / "haproxy.cfg"
    config.write_text(f"defaults\n mode http\n timeout client 1s\nfrontend f\n{text}\n")
    done = subprocess.run([program, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
