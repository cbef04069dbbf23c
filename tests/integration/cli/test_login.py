"""`ownroot login` and `logout`: what is kept, where, and for whom to read."""

import stat

import pytest

from tests.support.owner import Owner
from tests.support.relay import Instead, Relay
from tests.support.world import RunningServer


def test_login_by_stdin_keeps_the_token_for_its_owner_alone(stranger: Owner, server: RunningServer) -> None:
    done = stranger.run("login", "--url", server.api_url, "--token", stdin=server.owner_token + "\n")
    assert done.code == 0, done.err
    assert f"factory {server.factory}" in done.out
    assert stat.S_IMODE(stranger.settings_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stranger.settings_file.parent.stat().st_mode) == 0o700
    assert stranger.run("keys", "ca", "show", "--json").json["taken-over"] is False


@pytest.mark.parametrize("umask", [0o000, 0o777], ids=oct)
def test_settings_have_their_mode_whatever_the_umask(stranger: Owner, server: RunningServer, umask: int) -> None:
    done = stranger.run("login", "--url", server.api_url, "--token", stdin=server.owner_token, umask=umask)
    assert done.code == 0, done.err
    assert stat.S_IMODE(stranger.settings_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stranger.settings_file.parent.stat().st_mode) == 0o700


def test_token_never_shows_in_output(stranger: Owner, server: RunningServer) -> None:
    done = stranger.run("login", "--url", server.api_url, "--token", server.owner_token, "--json")
    assert done.json["factory"] == server.factory
    assert server.owner_token not in done.out + done.err


def test_token_the_server_does_not_know_is_not_kept(stranger: Owner, server: RunningServer) -> None:
    done = stranger.run("login", "--url", server.api_url, "-f", server.factory, "--token", "own_" + "x" * 43, "--json")
    assert (done.code, done.error["code"]) == (5, "token-unknown")
    assert not stranger.settings_file.exists()


def test_each_factory_has_its_own_login_and_the_last_is_the_default(stranger: Owner, server: RunningServer) -> None:
    other = server.for_factory(server.factory + "-b")
    for one in (other, server):
        assert stranger.run("login", "--url", one.api_url, "--token", one.owner_token).code == 0
    assert stranger.run("keys", "ca", "show", "--json").json["factory"] == server.factory
    assert stranger.run("keys", "ca", "show", "--json", "-f", other.factory).json["factory"] == other.factory
    assert stranger.run("logout").code == 0
    assert stranger.run("keys", "ca", "show", "--json").json["factory"] == other.factory


def test_logout_of_the_last_factory_removes_the_file(stranger: Owner, server: RunningServer) -> None:
    stranger.run("login", "--url", server.api_url, "--token", server.owner_token)
    assert stranger.run("logout").code == 0
    assert not stranger.settings_file.exists()
    assert stranger.run("logout", "--json").error["code"] == "no-such-login"


def test_token_kept_for_one_server_is_not_sent_to_another(stranger: Owner, server: RunningServer, relay: Relay) -> None:
    stranger.run("login", "--url", server.api_url, "--token", server.owner_token)
    done = stranger.run("keys", "ca", "show", "--url", relay.url, "--json")
    assert done.error["code"] == "not-logged-in"
    assert relay.requests == []


def test_environment_wins_over_the_file_and_the_command_line_over_both(owner: Owner, server: RunningServer) -> None:
    other = server.for_factory(server.factory + "-c")
    owner.run("login", "--url", other.api_url, "-f", other.factory, "--token", other.owner_token)
    assert owner.run("keys", "ca", "show", "--json").json["factory"] == server.factory
    refused = owner.run("keys", "ca", "show", "--json", "-f", other.factory)
    assert refused.error["code"] == "wrong-factory"


def test_command_without_login_says_what_is_missing_and_what_to_do(stranger: Owner) -> None:
    done = stranger.run("devices", "list")
    assert done.code == 5
    assert done.out == ""
    assert "Not known on this machine" in done.err
    assert "What it means: " in done.err
    assert "ownroot login" in done.err


@pytest.mark.parametrize("content", ["not toml", "[factories.acme]\nurl = 3\n", 'factories = "x"\n', "\x00"])
def test_settings_that_cannot_be_read_are_an_error_not_an_empty_file(stranger: Owner, content: str) -> None:
    stranger.settings_file.parent.mkdir(parents=True)
    stranger.settings_file.write_text(content)
    done = stranger.run("devices", "list", "--json")
    assert done.error["code"] == "config-unreadable"
    assert stranger.settings_file.read_text() == content


def test_token_is_not_sent_in_clear_beyond_this_machine(stranger: Owner) -> None:
    done = stranger.run("login", "--url", "http://api.example.test", "-f", "acme", "--token", "own_x", "--json")
    assert (done.code, done.error["code"]) == (4, "token-in-clear")


@pytest.mark.parametrize("token", ["a b", "ä", "a\nb"])
def test_token_that_no_header_can_carry_is_refused(stranger: Owner, relay: Relay, token: str) -> None:
    done = stranger.run("login", "--url", relay.url, "-f", "acme", "--token", token, "--json")
    assert done.error["code"] == "bad-token"
    assert relay.requests == []


def test_server_that_redirects_is_not_followed(owner: Owner, relay: Relay) -> None:
    elsewhere = (("Location", "https://elsewhere.example.test/"),)
    relay.spoil = lambda _request: Instead(302, headers=elsewhere)
    done = owner.run("devices", "delete", "x", "--json")
    assert done.error["code"] == "redirected"
    assert "elsewhere.example.test" in done.error["message"]
    assert relay.lines == [f"DELETE /ota/devices/x/?factory={owner.environment['OWNROOT_FACTORY']}"]


def test_on_a_terminal_the_token_is_asked_for_and_not_echoed(stranger: Owner, server: RunningServer) -> None:
    done = stranger.run_on_terminal(
        "login", "--url", server.api_url, "--token", typed=server.owner_token + "\n", after="Token:"
    )
    assert done.code == 0, done.out
    assert server.owner_token not in done.out
    assert server.owner_token in stranger.settings_file.read_text()
