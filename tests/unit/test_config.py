"""Settings: what passes is frozen, what does not says which line to change."""

from pathlib import Path

import pytest

from ownroot.config import (
    Address,
    OnlineCaToken,
    Options,
    default_data_dir,
    default_workers,
    load_settings,
    parse_address,
)
from ownroot.errors import InvalidInputError


def settings(tmp_path, text=None, **options):
    file = None
    if text is not None:
        file = tmp_path / "ownroot.toml"
        file.write_text(text)
    return load_settings(tmp_path / "data", file, Options(**options))


def refusal(tmp_path, text=None, **options):
    with pytest.raises(InvalidInputError) as refused:
        settings(tmp_path, text, **options)
    return refused.value


def test_defaults_serve_the_api_on_loopback_and_the_gateway_to_everybody(tmp_path):
    made = settings(tmp_path)
    assert (str(made.api.listen), str(made.gateway.listen)) == ("127.0.0.1:8000", "0.0.0.0:8443")
    assert made.database_url == f"sqlite:///{tmp_path}/data/ownroot.db"
    assert made.gateway.workers == default_workers() >= 2


def test_an_option_beats_the_file_and_the_file_beats_the_default(tmp_path):
    text = '[api]\nlisten = "127.0.0.1:1"\n[gateway]\nlisten = "127.0.0.1:2"\nworkers = 5\n'
    made = settings(tmp_path, text, api="127.0.0.1:9", workers=3)
    assert (made.api.listen.port, made.gateway.listen.port, made.gateway.workers) == (9, 2, 3)


def test_each_worker_has_an_admin_port_of_its_own(tmp_path):
    text = "[gateway]\nadmin_port = 9100\nworkers = 3\n"
    assert settings(tmp_path, text).gateway.admin_ports == (9100, 9101, 9102)
    assert settings(tmp_path, workers=2).gateway.admin_ports == (0, 0)


@pytest.mark.parametrize(
    ("text", "groups"),
    [("", None), ('production = "device"', None), ('production = "never"', set()), ('production = ["a"]', {"a"})],
)
def test_production_devices_are_for_each_nobody_or_some_groups(tmp_path, text, groups):
    assert settings(tmp_path, f"[registration]\n{text}\n").registration.production_groups == groups


@pytest.mark.parametrize("line", ['production = "allow"', "production = []", 'reregister = "refuse"'])
def test_registration_that_is_no_choice_is_refused(tmp_path, line):
    assert refusal(tmp_path, f"[registration]\n{line}\n").code == "config-invalid"


def test_another_key_for_a_reregister_is_refused_unless_the_file_says_otherwise(tmp_path):
    assert settings(tmp_path).registration.reregister == "reject"
    text = '[registration]\nreregister = "if-never-seen"\n'
    assert settings(tmp_path, text).registration.reregister == "if-never-seen"


def test_admin_ports_beyond_the_last_port_are_refused(tmp_path):
    text = "[gateway]\nadmin_port = 65534\nworkers = "
    assert settings(tmp_path, text + "2").gateway.admin_ports == (65534, 65535)
    assert refusal(tmp_path, text + "3").code == "config-invalid"


@pytest.mark.parametrize("address", ["0.0.0.0:8000", "192.0.2.1:8000", "[::]:8000", "api.example.com:8000"])
def test_plain_http_beyond_loopback_is_refused(tmp_path, address):
    error = refusal(tmp_path, api=address)
    assert error.code == "api-exposed"
    assert "--api-tls" in error.detail
    assert "--behind-proxy" in error.detail


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "127.9.9.9:0", "[::1]:8000", "localhost:8000"])
def test_plain_http_on_loopback_is_served(tmp_path, address):
    assert settings(tmp_path, api=address).api.listen.is_loopback


@pytest.mark.parametrize("guard", [{"api_tls": ("c.pem", "k.pem")}, {"behind_proxy": ("10.0.0.0/8",)}])
def test_tls_or_a_named_proxy_opens_other_addresses(tmp_path, guard):
    assert settings(tmp_path, api="192.0.2.1:8000", **guard).api.listen.host == "192.0.2.1"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[api]\nlistn = 1\n", "config-invalid"),
        ("[gateway]\nworkers = 0\n", "config-invalid"),
        ("[gateway]\npublic_port = 70000\n", "config-invalid"),
        ("[api\n", "config-invalid"),
        ('[api]\ntls_certificate = "c.pem"\n', "config-invalid"),
        ('[api]\nbehind_proxy = ["10.0.0.0/33"]\n', "address-invalid"),
        ('[log]\nlevel = "loud"\n', "config-invalid"),
        ('[online_ca]\nmodule = "m.so"\n', "config-invalid"),
        ('[online_ca]\ntoken_label = "server"\n', "config-invalid"),
        ('[online_ca]\npin_file = "pin"\n', "config-invalid"),
    ],
)
def test_what_the_file_gets_wrong_is_refused(tmp_path, text, code):
    assert refusal(tmp_path, text).code == code


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidInputError) as refused:
        load_settings(tmp_path, tmp_path / "none.toml", Options())
    assert refused.value.code == "config-unreadable"


def test_paths_in_the_file_are_relative_to_the_file(tmp_path):
    made = settings(tmp_path, '[api]\ntls_certificate = "c.pem"\ntls_key = "/k.pem"\n')
    assert made.api.tls is not None
    assert (made.api.tls.certificate, made.api.tls.key) == (tmp_path / "c.pem", Path("/k.pem"))


def test_the_token_of_online_cas_is_one_only_where_it_is_named(tmp_path):
    assert settings(tmp_path).online_ca_token is None
    made = settings(tmp_path, '[online_ca]\nmodule = "/m.so"\ntoken_label = "server"\npin_file = "pin"\n')
    assert made.online_ca_token == OnlineCaToken(module=Path("/m.so"), token_label="server", pin_file=tmp_path / "pin")
    assert made.kek_token is None


@pytest.mark.parametrize(("text", "address"), [("[::1]:80", Address("::1", 80)), ("host:0", Address("host", 0))])
def test_addresses_are_read_and_written_alike(text, address):
    assert (parse_address(text), str(address)) == (address, text)


@pytest.mark.parametrize("text", ["", "8000", ":8000", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InvalidInputError) as refused:
        parse_address(text)
    assert refused.value.code == "address-invalid"


def test_the_data_directory_follows_the_environment():
    assert default_data_dir({"OWNROOT_DATA": "/srv/own"}) == Path("/srv/own")
    assert default_data_dir({}).name == "server"


def test_public_url_loses_its_slash_and_its_host_is_a_name_of_ours(tmp_path):
    file = tmp_path / "ownroot.toml"
    file.write_text('[api]\nnames = ["other.example"]\npublic_url = "https://Api.Example.com:8443/"\n')
    api = load_settings(tmp_path, file, Options()).api
    assert api.public_url == "https://Api.Example.com:8443"
    assert api.names == {"other.example", "api.example.com"}


@pytest.mark.parametrize(
    "url",
    ["api.example.com", "ftp://api.example.com", "https://", "https://a/b", "https://a?b", "https://a b", "https://[a"],
)
def test_public_url_that_is_not_scheme_and_host_is_refused(tmp_path, url):
    file = tmp_path / "ownroot.toml"
    file.write_text(f'[api]\npublic_url = "{url}"\n')
    with pytest.raises(InvalidInputError, match="config-invalid"):
        load_settings(tmp_path, file, Options())
