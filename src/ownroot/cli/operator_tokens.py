"""`ownroot token` and `ownroot client`: secrets that programs show to the API, made and taken back by the operator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import click

from ownroot.cli.operator_options import ServerData, order_of, server_options
from ownroot.console.lazy import OrderedGroup
from ownroot.console.output import Output

Result = TypeVar("Result")
_FACTORY = click.option("-f", "--factory", required=True, metavar="NAME", help="The factory it is for.")
_MAX_DAYS = 36_500


@click.group(cls=OrderedGroup)
def token() -> None:
    """API tokens on this server."""


@click.group(cls=OrderedGroup)
def client() -> None:
    """OAuth clients on this server: programs that log in with an id and a secret."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A token or client as listings show it, by what it is called: a number, or a client id."""

    name: int | str
    user: str
    polis_id: str
    scopes: frozenset[str]
    made: datetime
    ends: datetime | None

    def document(self) -> dict[str, object]:
        """For programs."""
        return {
            "id": self.name,
            "user": {"polis-id": self.polis_id, "name": self.user},
            "scopes": sorted(self.scopes),
            "created-at": _time(self.made),
            "expires-at": _time(self.ends),
        }

    def line(self) -> str:
        """For people."""
        until = "no end" if self.ends is None else f"until {self.ends:%Y-%m-%d}"
        scopes = " ".join(sorted(self.scopes))
        return f"{self.name}: {self.user or self.polis_id}, {scopes}, made {self.made:%Y-%m-%d}, {until}"


def _order_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """What is asked of both: whose, for what, until when."""
    options = (
        click.option(
            "--days",
            type=click.IntRange(1, _MAX_DAYS),
            metavar="N",
            help="It ends after N days. [default: never]",
        ),
        click.option("--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="What for; repeatable."),
        click.option("--user", metavar="NAME", help="Whose; made if new. [default: the factory's owner]"),
        _FACTORY,
    )
    for option in options:
        function = option(function)
    return function


@token.command(
    "create", epilog="\b\nExample:\n  ownroot token create --factory acme --user station-1 --scope devices:create\n"
)
@_order_options
@server_options
def create_token(
    server: ServerData, factory: str, user: str | None, scopes: tuple[str, ...], days: int | None, as_json: bool
) -> None:
    """Make a token; it is printed once."""
    with server.accounts() as accounts:
        made = accounts.create_token(order_of(factory, user, scopes, days))
    if not as_json:
        click.echo(made.token)
        return
    document = {
        "factory": made.factory.name,
        "user": {"polis-id": made.user.polis_id, "name": made.user.name},
        "scopes": sorted(made.scopes),
        "token": made.token,
        "expires-at": _time(made.expires_at),
    }
    Output(as_json=True).document(document)


@token.command("list", epilog="\b\nExample:\n  ownroot token list --factory acme\n")
@_FACTORY
@server_options
def list_tokens(server: ServerData, factory: str, as_json: bool) -> None:
    """List the tokens of a factory by number; the tokens themselves are nowhere."""
    with server.accounts() as accounts:
        held = accounts.list_tokens(factory)
    rows = [
        _Held(token.id, user.name, user.polis_id, token.scopes, token.created_at, token.expires_at)
        for token, user in ((each.token, each.user) for each in held)
    ]
    _print(rows, Output(as_json=as_json))


@token.command("revoke", epilog="\b\nExample:\n  ownroot token revoke --factory acme 7\n")
@click.argument("number", type=int)
@_FACTORY
@server_options
def revoke_token(server: ServerData, factory: str, number: int, as_json: bool) -> None:
    """Make the token with this NUMBER worthless, within a second on a running server."""
    with server.accounts() as accounts:
        accounts.revoke_token(factory, number)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"factory": factory, "revoked": number})
    output.line(f"Token {number} of factory {factory} is worthless now.")


@client.command(
    "create", epilog="\b\nExample:\n  ownroot client create --factory acme --user ci --scope devices:read --days 90\n"
)
@_order_options
@server_options
def create_client(
    server: ServerData, factory: str, user: str | None, scopes: tuple[str, ...], days: int | None, as_json: bool
) -> None:
    """Make an OAuth client; its secret is printed once. `ownroot login --client` takes id and secret."""
    with server.accounts() as accounts:
        made = accounts.create_client(order_of(factory, user, scopes, days))
    output = Output(as_json=as_json)
    if as_json:
        document = {
            "factory": made.factory.name,
            "user": {"polis-id": made.user.polis_id, "name": made.user.name},
            "scopes": sorted(made.client.scopes),
            "client-id": made.client.client_id,
            "client-secret": made.secret,
            "expires-at": _time(made.client.expires_at),
        }
        output.document(document)
    output.line(f"Client id: {made.client.client_id}")
    output.line(f"Client secret, shown this once: {made.secret}")


@client.command("list", epilog="\b\nExample:\n  ownroot client list --factory acme\n")
@_FACTORY
@server_options
def list_clients(server: ServerData, factory: str, as_json: bool) -> None:
    """List the OAuth clients of a factory."""
    with server.accounts() as accounts:
        held = accounts.list_clients(factory)
    rows = [
        _Held(client.client_id, user.name, user.polis_id, client.scopes, client.created_at, client.expires_at)
        for client, user in ((each.client, each.user) for each in held)
    ]
    _print(rows, Output(as_json=as_json))


@client.command("delete", epilog="\b\nExample:\n  ownroot client delete --factory acme 0123456789abcdef01234567\n")
@click.argument("client_id")
@_FACTORY
@server_options
def delete_client(server: ServerData, factory: str, client_id: str, as_json: bool) -> None:
    """Forget the client CLIENT_ID; whatever it holds is worthless within a second on a running server."""
    with server.accounts() as accounts:
        accounts.delete_client(factory, client_id)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"factory": factory, "deleted": client_id})
    output.line(f"Client {client_id} is forgotten; its tokens are worthless now.")


def _print(held: Sequence[_Held], output: Output) -> None:
    if output.as_json:
        output.document([each.document() for each in held])
    for each in held:
        output.line(each.line())


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%FT%TZ}"
