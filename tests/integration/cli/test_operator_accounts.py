"""`ownroot user`, `member`, `token` and `client`, on the data of a running server."""

import json
import subprocess

import pytest

from tests.support.owner import Owner
from tests.support.world import PROGRAM, RunningServer

PASSWORD = "correct horse battery"


def operator(server: RunningServer, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *words, "--data", str(server.data_dir)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def unique(server: RunningServer, name: str) -> str:
    return f"{name}-of-{server.factory}"


def test_user_gets_a_password_from_stdin_and_a_role(server: RunningServer) -> None:
    ada = unique(server, "ada")
    done = operator(server, "user", "create", ada, "--json", stdin=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert operator(server, "member", "add", "-f", server.factory, "--user", ada, "--role", "admin").returncode == 0
    users = {user["name"]: user for user in server.run("user", "list")}
    assert users[ada]["has-password"] is True
    assert users[ada]["memberships"] == [{"factory": server.factory, "role": "admin"}]
    members = {each["name"]: each["role"] for each in server.run("member", "list", "-f", server.factory)}
    assert members[ada] == "admin"
    assert server.run("member", "remove", "-f", server.factory, "--user", ada)["role"] == "admin"


def test_password_is_asked_for_twice_on_a_terminal_and_not_echoed(stranger: Owner, server: RunningServer) -> None:
    bob = unique(server, "bob")
    server.run("user", "create", bob, "--no-password")
    done = stranger.run_on_terminal(
        "user",
        "set-password",
        bob,
        "--data",
        server.data_dir,
        typed=PASSWORD + "\n",
        after="Password:",
        then=[("Repeat", PASSWORD + "\n")],
    )
    assert done.code == 0, done.out
    assert PASSWORD not in done.out


@pytest.mark.parametrize(("stdin", "code"), [("", "password-missing"), ("short\n", "password-too-short")])
def test_no_password_and_a_short_one_make_no_user(server: RunningServer, stdin: str, code: str) -> None:
    eve = unique(server, "eve")
    done = operator(server, "user", "create", eve, "--json", stdin=stdin)
    assert json.loads(done.stderr)["error"]["code"] == code
    assert eve not in {user["name"] for user in server.run("user", "list")}


def test_token_with_an_end_is_listed_and_revoked(server: RunningServer) -> None:
    made = server.run("token", "create", "-f", server.factory, "--scope", "devices:read", "--days", "7")
    assert made["expires-at"].endswith("Z")
    held = server.run("token", "list", "-f", server.factory)
    number = next(each["id"] for each in held if each["expires-at"] == made["expires-at"])
    assert made["token"] not in json.dumps(held)
    assert operator(server, "token", "revoke", str(number), "-f", server.factory).returncode == 0
    answer = server.call("GET", f"/ota/factories/{server.factory}/users/self/", token=made["token"])
    assert (answer.status_code, answer.json()["code"]) == (401, "token-unknown")


def test_client_is_made_with_a_secret_shown_once_and_deleted(server: RunningServer) -> None:
    made = server.run("client", "create", "-f", server.factory, "--scope", "devices:read", "--days", "7")
    held = server.run("client", "list", "-f", server.factory)
    assert [each["id"] for each in held] == [made["client-id"]]
    assert made["client-secret"] not in json.dumps(held)
    assert operator(server, "client", "delete", made["client-id"], "-f", server.factory).returncode == 0
    assert server.run("client", "list", "-f", server.factory) == []


@pytest.mark.parametrize("group", ["user", "member", "token", "client"])
def test_help_of_every_command_has_an_example(stranger: Owner, group: str) -> None:
    listed = stranger.run(group, "--help").out.partition("Commands:")[2].split("\n")
    names = [line.split()[0] for line in listed if line.strip()]
    assert names
    for name in names:
        assert f"ownroot {group} {name}" in stranger.run(group, name, "--help").out
