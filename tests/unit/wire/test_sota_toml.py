"""`sota.toml`: the table devices rely on, what they may change in it, and what they may not."""

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.wire.sota_toml import (
    MAX_OVERRIDES,
    MAX_VALUE_LENGTH,
    TOKEN_OVERRIDES,
    SotaSettings,
    TokenSettings,
    append_token_settings,
    parse_config_dir,
    parse_hardware_id,
    parse_overrides,
    render_sota_toml,
)

SETTINGS = SotaSettings(
    gateway_url="https://gw.example:8443",
    ostree_url="https://ostree.gw.example:8443",
    hardware_id="intel-corei7-64",
    config_dir="/var/sota",
)

DEFAULT = """\
[tls]
server = "https://gw.example:8443"
ca_source = "file"
pkey_source = "file"
cert_source = "file"

[provision]
server = "https://gw.example:8443"
primary_ecu_hardware_id = "intel-corei7-64"

[uptane]
repo_server = "https://gw.example:8443/repo"
key_source = "file"

[pacman]
type = "ostree+compose_apps"
ostree_server = "https://ostree.gw.example:8443/ostree"

[storage]
type = "sqlite"
path = "/var/sota/"

[import]
tls_cacert_path = "/var/sota/root.crt"
tls_pkey_path = "/var/sota/pkey.pem"
tls_clientcert_path = "/var/sota/client.pem"
"""


def render(overrides: object) -> str:
    return render_sota_toml(replace(SETTINGS, overrides=parse_overrides(overrides)))


def value_of(value: object) -> str:
    result = tomllib.loads(render({"pacman": {"key": value}}))["pacman"]["key"]
    assert isinstance(result, str)
    return result


def faults_of(overrides: object) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        render(overrides)
    assert caught.value.code == "overrides"
    return caught.value.fields


def test_default_file_has_the_sections_and_keys_of_the_protocol_in_their_order() -> None:
    assert render(None) == DEFAULT


def test_override_replaces_in_place_and_new_keys_and_sections_come_last() -> None:
    text = render({"pacman": {"tags": '"main"', "type": '"ostree"'}, "logger": {"loglevel": '"2"'}})
    assert '[pacman]\ntype = "ostree"\nostree_server = "https://ostree.gw.example:8443/ostree"\ntags = "main"\n' in text
    assert text.endswith('client.pem"\n\n[logger]\nloglevel = "2"\n')


@pytest.mark.parametrize("empty", ["", None])
def test_empty_override_takes_the_key_out(empty: str | None) -> None:
    text = render({"import": {"tls_pkey_path": empty}, "storage": {"tls_pkey_path": empty}})
    assert '[import]\ntls_cacert_path = "/var/sota/root.crt"\n# tls_pkey_path is not set\n' in text
    assert 'path = "/var/sota/"\n# tls_pkey_path is not set\n' in text
    assert "tls_pkey_path" not in tomllib.loads(text)["import"]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ('"main"', "main"),
        ('""', ""),
        ('" "', " "),
        ("'literal \\n'", "literal \\n"),
        ('"a\\"b"', 'a"b'),
        ('"two\\nlines"', "two\nlines"),
        ('"""multi\nline"""', "multi\nline"),
        ("/var/sota/compose-apps", "/var/sota/compose-apps"),
        ("it's bare", "it's bare"),
        ("back\\slash", "back\\slash"),
        ("true", "true"),
        ("5", "5"),
        ("1.10", "1.10"),
        ("1979-05-27", "1979-05-27"),
        ("5 # five", "5"),
        (True, "true"),
        (False, "false"),
        ("{sota_config_dir}/apps", "/var/sota/apps"),
        ('"{gateway_server}/x"', "https://gw.example:8443/x"),
        ('"{ostree_server} {hardware_id}"', "https://ostree.gw.example:8443 intel-corei7-64"),
        ("9" * 4090, "9" * 4090),
        ("öffnen", "öffnen"),
        ("[" * 4000, "[" * 4000),
    ],
)
def test_override_value_becomes_the_string_it_means(sent: object, meant: str) -> None:
    assert value_of(sent) == meant


@pytest.mark.parametrize(
    "value",
    [
        5,
        1.5,
        ["a"],
        {"a": "b"},
        '["a"]',
        '{a = "b"}',
        'a"b',
        '"unfinished',
        '"a"\n[evil]\nkey = "b"',
        '"a"\nevil = "b"',
        "two\nlines",
        "bell\x07",
        "{unknown}",
        "{",
        '"{0.__class__}"',
        "{{gateway_server}}",
        "x" * (MAX_VALUE_LENGTH + 1),
    ],
)
def test_override_that_is_no_single_string_is_refused_by_name(value: object) -> None:
    assert set(faults_of({"pacman": {"key": value}})) == {"overrides.pacman.key"}


@pytest.mark.parametrize("key", ["tls.server", "provision.server", "uptane.repo_server"])
@pytest.mark.parametrize("value", ['"https://evil.example"', "", None])
def test_device_cannot_choose_its_server(key: str, value: str | None) -> None:
    section, _, name = key.partition(".")
    assert set(faults_of({section: {name: value}})) == {f"overrides.{key}"}


def test_p11_section_is_left_to_the_device() -> None:
    assert set(faults_of({"p11": {"module": '"/x.so"'}})) == {"overrides.p11"}


@pytest.mark.parametrize("document", [[], "text", 5, True, {"pacman": []}, {"pacman": "x"}])
def test_overrides_of_another_shape_are_refused(document: object) -> None:
    assert faults_of(document)


@pytest.mark.parametrize("name", ["", "a.b", "a]", "a b", "a\n", 'a"', "ä", "a" * 65])
def test_names_that_would_break_the_file_are_refused(name: str) -> None:
    assert faults_of({name: {"key": "x"}})
    assert faults_of({"pacman": {name: "x"}})


def test_all_faults_are_told_at_once() -> None:
    assert set(faults_of({"pacman": {"a": 1, "b": []}, "tls": {"server": "x"}})) == {
        "overrides.pacman.a",
        "overrides.pacman.b",
        "overrides.tls.server",
    }


def test_number_of_overrides_is_bounded() -> None:
    assert set(faults_of({"a": {f"k{n}": "v" for n in range(MAX_OVERRIDES)}})) == {"overrides"}
    assert render({"a": {f"k{n}": "v" for n in range(MAX_OVERRIDES - 1)}})


def test_hardware_id_and_directory_stand_in_the_file_as_sent() -> None:
    settings = replace(SETTINGS, hardware_id="a_b.c-9", config_dir='rel/"odd" {dir}')
    tables = tomllib.loads(render_sota_toml(settings))
    assert tables["provision"]["primary_ecu_hardware_id"] == "a_b.c-9"
    assert tables["storage"]["path"] == 'rel/"odd" {dir}/'


@pytest.mark.parametrize("text", ["", "a b", "a/b", "é", "a\n", "x" * 129])
def test_odd_hardware_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_hardware_id(text)
    assert caught.value.code == "hardware-id"


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\x00", "x" * 4097])
def test_odd_directory_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_config_dir(text)
    assert caught.value.code == "sota-config-dir"


json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), json_values) | json_values))
def test_any_overrides_give_strings_in_valid_toml_or_a_named_refusal(document: dict[str, object]) -> None:
    try:
        text = render(document)
    except InvalidInputError:
        assert faults_of(document)
        return
    tables = tomllib.loads(text)
    assert all(isinstance(value, str) for table in tables.values() for value in table.values())
    assert tables["tls"]["server"] == SETTINGS.gateway_url


@given(st.text(alphabet="\"'\n{}[]=#\\ a1.", max_size=12))
def test_hostile_value_never_reaches_another_key(value: str) -> None:
    try:
        text = render({"pacman": {"key": value}})
    except InvalidInputError:
        return
    tables = tomllib.loads(text)
    tables["pacman"].pop("key", None)
    assert tables == tomllib.loads(DEFAULT)


TOKEN = TokenSettings('/usr/lib/"odd"/module.so', 'p"in\\', "01", "03")


def on_token() -> str:
    return render_sota_toml(replace(SETTINGS, overrides=TOKEN_OVERRIDES))


def test_token_section_comes_last_and_holds_what_was_meant() -> None:
    text = append_token_settings(on_token(), TOKEN)
    assert tomllib.loads(text)["p11"] == {
        "module": '/usr/lib/"odd"/module.so',
        "pass": 'p"in\\',
        "tls_pkey_id": "01",
        "tls_clientcert_id": "03",
    }
    assert text.startswith(on_token())
    assert TOKEN.pin not in repr(TOKEN)


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('pkey_source = "pkcs11"', 'pkey_source = "file"', "tls.pkey_source"),
        ('cert_source = "pkcs11"\n', "", "tls.cert_source"),
        ("# tls_pkey_path is not set", 'tls_pkey_path = "/var/sota/pkey.pem"', "tls_pkey_path"),
        ("[tls]", "[p11]\n\n[tls]", r"section \[p11\]"),
        ("[tls]", "[tls", "cannot be read"),
        ("[tls]", "tls = 1\n[other]", "tls.pkey_source"),
    ],
)
def test_file_that_sends_programs_past_the_token_is_refused(before: str, after: str, fault: str) -> None:
    with pytest.raises(InvalidInputError, match=fault) as refusal:
        append_token_settings(on_token().replace(before, after, 1), TOKEN)
    assert refusal.value.code == "sota-toml-token"
