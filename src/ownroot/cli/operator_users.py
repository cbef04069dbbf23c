"""`ownroot user` and `ownroot member`: who people are on this server, and what they are in a factory."""

import sys

import click

from ownroot.cli.operator_options import ServerData, server_options
from ownroot.console.lazy import OrderedGroup
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError

_ROLES = ("owner", "admin", "member", "auditor")
_FACTORY = click.option("-f", "--factory", required=True, metavar="NAME", help="The factory.")
_USER = click.option("--user", "name", required=True, metavar="NAME", help="The user, by name.")


@click.group(cls=OrderedGroup)
def user() -> None:
    """People on this server: their names and passwords. What they may do is `ownroot member`."""


@user.command("create", epilog="\b\nExamples:\n  ownroot user create ada\n  ownroot user create ada < password-file\n")
@click.argument("name")
@click.option("--no-password", is_flag=True, help="Do not ask for one; the user cannot sign in to pages.")
@server_options
def create_user(server: ServerData, name: str, no_password: bool, as_json: bool) -> None:
    """Make a user. The password is asked for, or read from stdin: an argument would show in process lists."""
    password = None if no_password else _password()
    with server.accounts() as accounts:
        made = accounts.create_user(name, password)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"polis-id": made.polis_id, "name": made.name})
    output.line(f"User {made.name} ({made.polis_id}) is known now.")
    output.note(f"Next: ownroot member add --factory FACTORY --user {made.name} --role member")


@user.command("set-password", epilog="\b\nExample:\n  ownroot user set-password ada\n")
@click.argument("name")
@server_options
def set_password(server: ServerData, name: str, as_json: bool) -> None:
    """Give a user another password; it is asked for, or read from stdin. Their sessions end."""
    password = _password()
    with server.accounts() as accounts:
        changed = accounts.set_password(name, password)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"polis-id": changed.polis_id, "name": changed.name})
    output.line(f"The password of {changed.name} is set. Whoever was signed in as {changed.name} is signed out.")


@user.command("list", epilog="\b\nExample:\n  ownroot user list --json\n")
@server_options
def list_users(server: ServerData, as_json: bool) -> None:
    """List everybody this server knows."""
    with server.accounts() as accounts:
        known = accounts.list_users()
    output = Output(as_json=as_json)
    if as_json:
        output.document(
            [
                {
                    "polis-id": each.user.polis_id,
                    "name": each.user.name,
                    "has-password": each.has_password,
                    "memberships": [{"factory": factory.name, "role": role} for factory, role in each.memberships],
                }
                for each in known
            ]
        )
    for each in known:
        roles = ", ".join(f"{role.value} of {factory.name}" for factory, role in each.memberships) or "in no factory"
        signs_in = "signs in with a password" if each.has_password else "has no password"
        output.line(f"{each.user.name} ({each.user.polis_id}): {roles}; {signs_in}")


@click.group(cls=OrderedGroup)
def member() -> None:
    """Who belongs to a factory, and as what."""


@member.command("add", epilog="\b\nExample:\n  ownroot member add --factory acme --user ada --role admin\n")
@_FACTORY
@_USER
@click.option("--role", required=True, type=click.Choice(_ROLES), help="What they are there.")
@server_options
def add_member(server: ServerData, factory: str, name: str, role: str, as_json: bool) -> None:
    """Make a user a member of a factory, or give a member another role."""
    with server.accounts() as accounts:
        accounts.add_member(factory, name, role)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"factory": factory, "user": name, "role": role})
    output.line(f"{name} is {role} of factory {factory}.")


@member.command("remove", epilog="\b\nExample:\n  ownroot member remove --factory acme --user ada\n")
@_FACTORY
@_USER
@server_options
def remove_member(server: ServerData, factory: str, name: str, as_json: bool) -> None:
    """Take a user out of a factory. Their tokens and OAuth clients there are deleted."""
    with server.accounts() as accounts:
        removed = accounts.remove_member(factory, name)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"factory": factory, "user": name, "role": removed.role.value})
    output.line(f"{name} is no longer {removed.role.value} of factory {factory}; their tokens and clients are deleted.")


@member.command("list", epilog="\b\nExample:\n  ownroot member list --factory acme --json\n")
@_FACTORY
@server_options
def list_members(server: ServerData, factory: str, as_json: bool) -> None:
    """List the members of a factory."""
    with server.accounts() as accounts:
        members = accounts.list_members(factory)
    output = Output(as_json=as_json)
    if as_json:
        rows = [(each.user.polis_id, each.user.name, each.role.value) for each in members]
        output.document([{"polis-id": polis_id, "name": name, "role": role} for polis_id, name, role in rows])
    for each in members:
        output.line(f"{each.user.name} ({each.user.polis_id}): {each.role.value}")


def _password() -> str:
    """Ask twice on a terminal; elsewhere the first line of stdin is it."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    password = sys.stdin.readline(4096).rstrip("\r\n")
    if not password:
        raise InvalidInputError("password-missing", "No password came from standard input.")
    return password
