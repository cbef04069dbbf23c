"""The self-test of a site, and the settings it writes for its devices."""

import tomllib
from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.errors import InvalidInputError, OwnrootError
from ownroot.registration.site import check_site
from ownroot.wire.registration import RegistrationRequest
from tests.support.certificates import NOW, device_ca, factory_root, gateway_tls, make_key
from tests.support.registration_desk import site_parts

REQUEST = RegistrationRequest(
    csr="", hardware_id="imx8", overrides=(("pacman", (("tags", '"main"'), ("type", '"x"'))),)
)


def test_first_two_names_of_the_gateway_are_what_devices_call() -> None:
    site = check_site(replace(site_parts(), gateway_port=9443), now=NOW)
    assert (site.gateway_url, site.ostree_url) == ("https://gw.example:9443", "https://ostree.gw.example:9443")


def test_gateway_with_one_name_is_its_own_ostree_host() -> None:
    root = factory_root()
    ca, tls = device_ca(root), gateway_tls(root, dns_names=("gw.example",))
    parts = replace(site_parts(), root=root.certificate, ca=ca.certificate, ca_key=ca.ec_key, tls=tls.certificate)
    site = check_site(parts, now=NOW)
    assert site.ostree_url == site.gateway_url


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ca_key": make_key()}, "issuer-key-mismatch"),
        ({"root": factory_root().certificate}, "ca-not-signed-by-root"),
        ({"tls": gateway_tls(factory_root(), dns_names=("gw.example",)).certificate}, "tls-not-signed-by-root"),
    ],
)
def test_part_that_does_not_belong_is_found(change: dict[str, object], code: str) -> None:
    with pytest.raises(OwnrootError) as caught:
        check_site(replace(site_parts(), **change), now=NOW)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_expired_ca_is_found_and_one_that_ends_soon_is_warned_of() -> None:
    parts = site_parts()
    end = parts.ca.not_valid_after_utc
    with pytest.raises(InvalidInputError, match="ca-expired"):
        check_site(parts, now=end + timedelta(days=1))
    site = check_site(parts, now=NOW)
    assert site.ends_soon(NOW) == ""
    assert "add-device-ca" in site.ends_soon(end - timedelta(days=89))


def test_clock_of_1970_is_called_a_clock() -> None:
    with pytest.raises(InvalidInputError, match="clock-unset"):
        check_site(site_parts(), now=NOW.replace(year=1971))


def test_tags_of_the_site_take_the_place_of_the_devices() -> None:
    site = check_site(site_parts(), now=NOW)
    pacman = tomllib.loads(site.settings_for(REQUEST, ("stable", "pump")))["pacman"]
    assert (pacman["tags"], pacman["type"]) == ("stable,pump", "x")
    assert tomllib.loads(site.settings_for(REQUEST))["pacman"]["tags"] == "main"
