"""`ownroot-device register` at a site: keys in files and on tokens, and the production mark by the site's policy."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID

from tests.support.device_program import DeviceProgram, certificate_of
from tests.support.identity_on_token import assert_complete
from tests.support.registration_site import RegistrationSite, registration_site
from tests.support.softhsm import soft_hsm


@pytest.fixture(scope="module")
def site(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrationSite]:
    folder = tmp_path_factory.mktemp("site")
    with registration_site(folder, "--requests-per-minute", "0", "--production", "allow", pki=pki) as running:
        yield running


@pytest.fixture
def device(site: RegistrationSite, tmp_path: Path) -> DeviceProgram:
    return DeviceProgram(tmp_path / "sota", f"{site.url}/sign", "acme")


def production_mark(device: DeviceProgram) -> list[str]:
    found = certificate_of(device).subject.get_attributes_for_oid(NameOID.BUSINESS_CATEGORY)
    return [str(attribute.value) for attribute in found]


def test_key_on_a_token_is_registered_with_the_same_files_as_at_the_backend(
    device: DeviceProgram, tmp_path: Path
) -> None:
    hsm = soft_hsm(tmp_path / "hsm", empty=True)
    on_token = replace(device, hsm=hsm)
    on_token.registered()
    assert_complete(on_token, hsm, tmp_path)


def test_lost_answer_of_a_site_is_repeated_with_the_same_certificate(
    device: DeviceProgram, site: RegistrationSite
) -> None:
    device.register_cut("ownroot.device.registration:verify_reply")
    uuid = device.registered()["uuid"]
    entries = [entry for entry in site.entries() if entry["uuid"] == uuid]
    assert [entry["decision"] for entry in entries] == ["registered", "repeated"]
    assert len({entry["serial"] for entry in entries}) == 1


def test_site_that_is_not_there_is_looked_for_with_this_programs_own_option(device: DeviceProgram) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # taken, so nobody else's, and nobody listens
        said = replace(device, api=f"http://127.0.0.1:{silent.getsockname()[1]}/sign").register()
    assert said.returncode == 9
    assert "`--api`" in said.stderr
    assert "begins with https://" not in said.stderr


def test_production_device_is_one_where_the_site_allows_it(device: DeviceProgram) -> None:
    device.registered("--production")
    assert production_mark(device) == ["production"]


def test_device_that_does_not_ask_is_no_production_device(device: DeviceProgram) -> None:
    device.registered()
    assert production_mark(device) == []


def test_production_device_is_refused_where_the_site_forbids_it(
    device: DeviceProgram, pki: Path, tmp_path: Path
) -> None:
    with registration_site(tmp_path / "strict", "--production", "forbid", pki=pki) as strict:
        refused = replace(device, api=f"{strict.url}/sign").register("--production")
    assert refused.returncode == 4
    assert "production" in refused.stderr
