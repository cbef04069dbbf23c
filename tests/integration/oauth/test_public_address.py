"""A server that people reach under another name than devices do."""

import pytest

from tests.support.browsing import Browser
from tests.support.device_flow import ask
from tests.support.world import running_server


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    file = folder / "ownroot.toml"
    file.write_text('[api]\npublic_url = "https://devices.example.com/"\n')
    with running_server(folder, part="api", options=["--config", str(file)]) as server:
        yield server


def test_devices_are_told_the_public_address(public):
    codes = ask(public).codes
    assert codes["verification_uri"] == "https://devices.example.com/activate/"
    assert codes["verification_uri_complete"].endswith(f"/activate/?user_code={codes['user_code']}")


def test_its_name_is_answered_and_another_is_not(public):
    browser = Browser(public)
    assert browser.get("/activate/", Host="devices.example.com").status == 200
    assert browser.get("/activate/", Host="other.example.com").status == 421


def test_cookies_are_secure_and_forms_of_the_public_pages_count(public):
    out = Browser(public).post(
        "/activate/sign-out/", {}, **{"Sec-Fetch-Site": "", "Origin": "https://devices.example.com"}
    )
    assert (out.status, out.headers["set-cookie"].endswith("; Secure")) == (303, True)
