"""Certificates in headers: two forms, one value, from fronts alone."""

import base64
from urllib.parse import quote

import pytest

from ownroot.customer.peer import Front, read_front_header
from ownroot.errors import OwnrootError
from tests.support.certificates import device_ca, device_certificate, factory_root

_DEVICE = device_certificate(device_ca(factory_root()))
_ESCAPED = quote(_DEVICE.pem)
_RFC_9440 = f":{base64.b64encode(_DEVICE.der).decode()}:"


@pytest.mark.parametrize("text", [_ESCAPED, _RFC_9440])
def test_both_forms_are_read(text: str) -> None:
    assert read_front_header([text]) == _DEVICE.der


@pytest.mark.parametrize("values", [[], [""], ["::"]])
def test_empty_means_no_certificate(values: list[str]) -> None:
    assert read_front_header(values) is None


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([_ESCAPED, _ESCAPED], "front-header-repeated"),
        ([f"{_ESCAPED},{_ESCAPED}"], "front-header-repeated"),
        ([":?:"], "front-header"),
        (["A" * 20_000], "front-header"),
    ],
)
def test_anything_else_is_refused(values: list[str], code: str) -> None:
    with pytest.raises(OwnrootError) as refused:
        read_front_header(values)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("address", "is_front"),
    [
        ("10.0.0.7", True),
        ("10.0.1.7", False),
        ("::ffff:10.0.0.7", True),
        ("::ffff:10.0.1.7", False),
        ("::1", False),
        ("", False),
        (None, False),
        ("somebody", False),
    ],
)
def test_front_is_who_was_named(address: str | None, is_front: bool) -> None:
    assert Front.at("10.0.0.0/24").is_from(address) is is_front


def test_peer_without_address_is_a_front_where_a_socket_is_used() -> None:
    assert Front.at(unix_socket=True).is_from("")


@pytest.mark.parametrize("name", ["X-Device-Certificate", "x_device_certificate", "X_DEVICE-certificate"])
def test_header_is_known_in_every_spelling(name: str) -> None:
    assert Front().names(name)
    assert not Front().names(name + "s")


def test_name_of_a_front_must_be_an_address() -> None:
    with pytest.raises(OwnrootError) as refused:
        Front.at("nginx.example.com")
    assert refused.value.code == "front-address"
