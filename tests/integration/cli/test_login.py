"""`ownroot login` and `logout`: what is kept, where, and for whom to read."""

import stat
import tomllib

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
    assert "a token. Its logins: none." in done.err
    assert "What it means: " in done.err
    assert "ownroot login" in done.err


def test_misspelt_factory_is_named_beside_the_logins_there_are_and_no_token(
    stranger: Owner, server: RunningServer
) -> None:
    stranger.run("login", "--url", server.api_url, "--token", server.owner_token)
    done = stranger.run("devices", "list", "-f", "acme2")
    assert (done.code, done.out) == (5, "")
    assert "the server's address, a token (factory acme2, server not said)" in done.err
    assert f"Its logins: {server.factory} at {server.api_url}." in done.err
    assert server.owner_token not in done.err


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


# --- OAuth clients --------------------------------------------------------------------------------------------------


def client_of(server: RunningServer) -> tuple[str, str]:
    made = server.run("client", "create", "-f", server.factory, "--scope", "certs:read", "--scope", "devices:read")
    return made["client-id"], made["client-secret"]


def test_client_id_and_secret_by_stdin_log_in_to_their_factory(stranger: Owner, server: RunningServer) -> None:
    client_id, secret = client_of(server)
    done = stranger.run("login", "--url", server.api_url, "--client", stdin=f"{client_id}\n{secret}\n")
    assert done.code == 0, done.err
    assert f"factory {server.factory}" in done.out
    assert secret not in done.out + done.err
    assert stat.S_IMODE(stranger.settings_file.stat().st_mode) == 0o600
    assert stranger.run("devices", "list", "--json").code == 0


def test_wrong_secret_is_not_kept(stranger: Owner, server: RunningServer) -> None:
    client_id, _ = client_of(server)
    done = stranger.run("login", "--url", server.api_url, "--client", client_id, "--json", stdin="wrong\n")
    assert (done.code, done.error["code"]) == (5, "client-unknown")
    assert not stranger.settings_file.exists()


def test_access_token_goes_where_existing_servers_look_for_it(
    stranger: Owner, server: RunningServer, relay: Relay
) -> None:
    client_id, secret = client_of(server)
    assert stranger.run("login", "--url", relay.url, "--client", client_id, stdin=secret).code == 0
    token_request, check = relay.requests
    assert (token_request.method, token_request.path) == ("POST", "/oauth/token/")
    assert check.headers["authorization"].startswith("Bearer ")
    assert "osf-token" not in check.headers


def test_token_that_is_about_to_end_is_renewed_and_kept(stranger: Owner, server: RunningServer) -> None:
    client_id, secret = client_of(server)
    stranger.run("login", "--url", server.api_url, "--client", client_id, stdin=secret)
    before = tomllib.loads(stranger.settings_file.read_text())["factories"][server.factory]
    make_it_end(stranger, before["expires-at"])
    assert stranger.run("devices", "list", "--json").code == 0
    after = tomllib.loads(stranger.settings_file.read_text())["factories"][server.factory]
    assert after["token"] != before["token"]
    assert after["refresh-token"] != before["refresh-token"]
    assert (after["client-id"], after["client-secret"]) == (client_id, secret)


def test_refresh_token_that_is_gone_is_replaced_by_a_new_login(stranger: Owner, server: RunningServer) -> None:
    client_id, secret = client_of(server)
    stranger.run("login", "--url", server.api_url, "--client", client_id, stdin=secret)
    kept = tomllib.loads(stranger.settings_file.read_text())["factories"][server.factory]
    make_it_end(stranger, kept["expires-at"])
    stranger.settings_file.write_text(stranger.settings_file.read_text().replace(kept["refresh-token"], "own_gone"))
    assert stranger.run("devices", "list", "--json").code == 0


def test_login_of_a_client_that_was_deleted_says_so(stranger: Owner, server: RunningServer) -> None:
    client_id, secret = client_of(server)
    stranger.run("login", "--url", server.api_url, "--client", client_id, stdin=secret)
    server.run("client", "delete", "-f", server.factory, client_id)
    kept = tomllib.loads(stranger.settings_file.read_text())["factories"][server.factory]
    make_it_end(stranger, kept["expires-at"])
    assert stranger.run("devices", "list", "--json").error["code"] == "client-unknown"


def test_logout_forgets_the_secret_too(stranger: Owner, server: RunningServer) -> None:
    client_id, secret = client_of(server)
    stranger.run("login", "--url", server.api_url, "--client", client_id, stdin=secret)
    assert stranger.run("logout").code == 0
    assert not stranger.settings_file.exists()


def test_client_secret_is_asked_for_on_a_terminal_and_not_echoed(stranger: Owner, server: RunningServer) -> None:
    client_id, secret = client_of(server)
    done = stranger.run_on_terminal(
        "login",
        "--url",
        server.api_url,
        "--client",
        typed=client_id + "\n",
        after="Client id:",
        then=[("Client secret:", secret + "\n")],
    )
    assert done.code == 0, done.out
    assert secret not in done.out


def make_it_end(person: Owner, expires_at: str) -> None:
    """Let the kept login believe that its token ended long ago."""
    text = person.settings_file.read_text()
    assert expires_at in text
    person.settings_file.write_text(text.replace(expires_at, "2020-01-01T00:00:00+00:00"))
