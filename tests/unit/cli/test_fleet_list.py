"""Lists of devices in the forms that other programs write."""

import json

import pytest

from ownroot.cli.fleet_list import parse_fleet_list
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import spki_der, spki_pem
from tests.support.certificates import device_ca, device_certificate, factory_root, make_key

KEY = spki_pem(spki_der(make_key().public_key()))
CERTIFICATE = device_certificate(device_ca(factory_root()), "dev-1").pem


def code_of(text: str) -> str:
    with pytest.raises(InvalidInputError) as refused:
        parse_fleet_list(text)
    return f"{refused.value.code}: {refused.value.detail}"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"uuid": "dev-1", "public-key": KEY, "name": "one", "device-group": "edge", "is-prod": True}]),
        json.dumps(
            {"devices": [{"uuid": "dev-1", "public-key": KEY, "name": "one", "device-group": "edge", "is-prod": 1}]}
        ),
        json.dumps([{"uuid": "dev-1", "pubkey": KEY, "name": "one", "group": {"name": "edge"}, "production": "yes"}]),
        json.dumps({"uuid": "dev-1", "public-key": KEY, "name": "one", "group": "edge", "is-prod": True}) + "\n\n",
        f'uuid,name,group,production,public-key\ndev-1,one,edge,1,"{KEY}"\n',
        "\ufeffuuid,name,group,production,public-key\r\ndev-1,one,edge,TRUE," + KEY.replace("\n", "\\n") + "\r\n\r\n",
    ],
)
def test_every_form_says_the_same(text: str) -> None:
    (device,) = parse_fleet_list(text)
    assert (device.uuid, device.name, device.group, device.production) == ("dev-1", "one", "edge", True)
    assert device.public_key is not None
    assert device.public_key.strip() == KEY.strip()


def test_a_certificate_goes_before_a_public_key() -> None:
    (device,) = parse_fleet_list(json.dumps([{"uuid": "dev-1", "client.pem": CERTIFICATE, "public-key": KEY}]))
    assert (device.certificate, device.public_key) == (CERTIFICATE, None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "fleet-list-unreadable: "),
        ("name,key\na,b\n", "fleet-list-unreadable: "),
        ("uuid,public-key\n", "fleet-list-empty: "),
        ("[]", "fleet-list-empty: "),
        ("[1]", "fleet-list-unreadable: Device 1 "),
        ("[{]", "fleet-list-unreadable: "),
        ('{"uuid":"a"}\n{"uuid"', "fleet-list-unreadable: Line 2 "),
        ("[" * 100_000, "fleet-list-unreadable: "),
        ('uuid,name\n"a,b\n', "fleet-list-unreadable: "),
        ("uuid,name\na,b,c\n", "fleet-list-unreadable: "),
        ("uuid,name\na,b\n", "fleet-list: line 2: Device a has neither"),
        ('[{"name":"a"}]', "fleet-list: device 1: It has no uuid."),
        (json.dumps([{"uuid": "a/b", "public-key": KEY}]), "fleet-list: device 1: "),
        (json.dumps([{"uuid": "a", "public-key": KEY, "name": "b c"}]), "fleet-list: device 1: "),
        (json.dumps([{"uuid": "a", "public-key": 7}]), "fleet-list: device 1: Its public-key is no text."),
        (json.dumps([{"uuid": "a", "public-key": KEY, "is-prod": "maybe"}]), "fleet-list: device 1: Its production"),
        (json.dumps([{"uuid": "a", "certificate": KEY}]), "fleet-list: device 1: "),
        (
            json.dumps([{"uuid": "a", "public-key": KEY}, {"uuid": "A", "public-key": KEY}]),
            "fleet-list: device 2: uuid A stands at device 1 already.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    assert code_of(text).startswith(told)


def test_of_many_faults_the_first_are_told_and_the_rest_counted() -> None:
    text = json.dumps([{"uuid": f"d{number}"} for number in range(30)])
    assert "And 20 more. Nothing was sent." in code_of(text)
