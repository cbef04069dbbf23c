"""Shapes of configuration: what clients of the field send and read."""

import json

import pytest

from ownroot.errors import InvalidInputError
from ownroot.fleet.config_files import ConfigFile
from ownroot.wire.config import (
    config_files,
    file_forms,
    parse_config_form,
    parse_delivery,
    parse_device_patch,
    print_delivery,
)
from ownroot.wire.documents import write_document

FILES = (ConfigFile("a", "1", True, ("h", "x")), ConfigFile("b", "2"))


def test_request_reads_as_clients_write_it() -> None:
    body = (
        b'{"reason":"why","files":[{"name":"a","value":"1","unencrypted":true,"on-changed":["h","x"]},'
        b'{"name":"b","value":"2"}]}'
    )
    form = parse_config_form(body)
    assert (form.reason, config_files(form.files)) == ("why", FILES)


@pytest.mark.parametrize("body", [b"{}", b'{"files":null,"reason":null}', b'{"files":[],"change-meta":{}}'])
def test_no_files_are_no_fault(body: bytes) -> None:
    assert parse_config_form(body).files == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"files":{}}',
        b'{"files":[{}]}',
        b'{"files":[{"name":1}]}',
        b'{"files":[{"name":"a","on-changed":"h"}]}',
    ],
)
def test_other_shapes_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        parse_config_form(body)


def test_handler_is_left_out_where_there_is_none() -> None:
    first, second = json.loads(write_document(file_forms(FILES)))
    assert first["on-changed"] == ["h", "x"]
    assert "on-changed" not in second


def test_delivery_reads_back_and_is_an_object_without_files() -> None:
    assert parse_delivery(print_delivery(FILES)) == FILES
    assert print_delivery(()) == b"{}"
    assert parse_delivery(b'{"a":{"Value":"1"},"b":{"Value":"2","OnChanged":null,"Unencrypted":null}}') == (
        ConfigFile("a", "1"),
        ConfigFile("b", "2"),
    )
    with pytest.raises(InvalidInputError):
        parse_delivery(b'{"a":"1"}')


def test_devices_patch_names_the_key_it_encrypted_to() -> None:
    assert parse_device_patch(b'{"files":[],"public-key":"PEM"}').public_key == "PEM"
    assert parse_device_patch(b'{"files":[]}').public_key == ""
