"""The device object: every member is there, times carry their zone, replies are read back."""

import json
from datetime import UTC, datetime

import pytest

from ownroot.errors import InvalidInputError
from ownroot.wire.devices import DeviceList, DeviceObject, parse_device, parse_device_list, wire_time
from ownroot.wire.documents import write_document

MEMBERS = {
    "uuid",
    "name",
    "owner",
    "factory",
    "device-group",
    "group",
    "last-seen",
    "ostree-hash",
    "target-name",
    "status",
    "current-update",
    "up-to-date",
    "is-prod",
    "is-wave",
    "public-key",
    "docker-apps",
    "tag",
    "lmp-ver",
    "network-info",
    "hardware-info",
    "aktualizr-toml",
    "active-config",
    "secondary-ecus",
    "apps-state",
    "change-meta",
}
OURS = {"ca-serial", "certificate-ends", "next-key", "suspicion"}


def test_every_member_of_the_protocol_is_sent_and_unknown_ones_are_null() -> None:
    sent = json.loads(write_document(DeviceObject(uuid="u", factory="acme", name="dev")))
    assert set(sent) == MEMBERS | OURS
    assert {member for member, value in sent.items() if value is not None} == {"uuid", "factory", "name"}


def test_list_has_devices_total_and_next() -> None:
    device = DeviceObject(uuid="u", factory="acme", is_prod=True, docker_apps=("a",))
    body = write_document(DeviceList(devices=(device,), total=1))
    assert set(json.loads(body)) == {"devices", "total", "next"}
    assert parse_device_list(body) == DeviceList(devices=(device,), total=1, next=None)


def test_nulls_and_unknown_members_are_read_as_absent() -> None:
    device = parse_device(b'{"uuid":"u","factory":"f","name":null,"docker-apps":null,"is-prod":null,"more":1}')
    assert device == DeviceObject(uuid="u", factory="f")


def test_device_without_a_uuid_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_device(b'{"factory":"f"}')
    assert caught.value.code == "bad-field"


def test_time_is_rfc_3339_with_its_zone() -> None:
    assert wire_time(datetime(2026, 11, 23, 9, 30, 24, tzinfo=UTC)) == "2026-11-23T09:30:24+00:00"
    assert wire_time(None) is None
