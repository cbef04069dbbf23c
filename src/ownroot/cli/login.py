"""`ownroot login` and `logout`: which server, which factory, which token or OAuth client."""

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from ownroot.cli.settings import Login
    from ownroot.client.access import ApiAccess

_PROMPT = ""


@click.command(
    epilog="""\b
Examples:
  ownroot login --url https://api.example.com -f acme --token     asks for the token
  printf %s "$TOKEN" | ownroot login --url https://api.example.com -f acme --token -
  ownroot login --url https://api.example.com --client            asks for client id and secret
  printf '%s\\n' "$ID" "$SECRET" | ownroot login --url https://api.example.com --client
"""
)
@click.option(
    "--token",
    is_flag=False,
    flag_value=_PROMPT,
    default=_PROMPT,
    metavar="[TOKEN]",
    help="The token; `-` or no value: asked for, or read from stdin, so that it shows up in no process list.",
)
@click.option(
    "--client",
    is_flag=False,
    flag_value=_PROMPT,
    default=None,
    metavar="[ID]",
    help="Log in with an OAuth client instead; its id and secret are asked for, or the lines of stdin.",
)
@click.option("--oauth-url", metavar="URL", help="Where the OAuth endpoints are. [default: those of --url]")
@target_options
@json_option
def login(target: Target, token: str, client: str | None, oauth_url: str | None, as_json: bool) -> None:
    """Check a token with the server and keep it on this machine, readable by you alone.

    With --client it is the id and secret of an OAuth client that are kept, and tokens are renewed by themselves. Each
    factory has its own login; the last one is the default.
    """
    from ownroot.cli.settings import environment_settings, save_settings
    from ownroot.client.api import Api

    path, settings = environment_settings()
    if client is None:
        kept, factory = _token_login(target, token), None
    else:
        kept, factory = _client_login(target, client, oauth_url)
    access = _access(kept, target.factory or _environment("OWNROOT_FACTORY") or factory or "")
    if not access.factory:
        access = _only_factory(access)
    with Api(access) as api:
        user = api.self_user()
    save_settings(path, settings.with_login(access.factory, kept))
    output = Output(as_json=as_json)
    if as_json:
        output.document({"factory": access.factory, "url": access.url, "user": user, "settings": str(path)})
    output.line(f"Logged in to factory {access.factory} at {access.url} as {user.name} ({user.role or 'no role'}).")
    output.note(f"Kept in {path}.")


@click.command(epilog="\b\nExample:\n  ownroot logout -f acme\n")
@click.option("-f", "--factory", metavar="NAME", help="The factory. [default: the default one]")
@json_option
def logout(factory: str | None, as_json: bool) -> None:
    """Forget the secrets of a factory on this machine. On the server they stay valid."""
    from ownroot.cli.settings import environment_settings, save_settings

    path, settings = environment_settings()
    name = factory or settings.default_factory
    if name is None or name not in settings.logins:
        raise NotFoundError("no-such-login", f"There is no login for {name or 'any factory'} in {path}.")
    save_settings(path, settings.without(name))
    output = Output(as_json=as_json)
    if as_json:
        output.document({"factory": name, "settings": str(path)})
    output.line(f"Forgot the login of factory {name}. On the server its token or client stays valid.")


def _token_login(target: Target, token: str) -> "Login":
    from ownroot.cli.settings import Login
    from ownroot.client.addresses import parse_base_url

    url = parse_base_url(_address(target))
    return Login(url=url, token=_token(token), cacert=None if target.cacert is None else str(target.cacert.absolute()))


def _client_login(target: Target, client: str, oauth_url: str | None) -> "tuple[Login, str | None]":
    from ownroot.cli.oauth_login import logged_in
    from ownroot.client.addresses import parse_base_url
    from ownroot.client.oauth import ClientSecret

    url = parse_base_url(_address(target))
    client_id = client if client not in (_PROMPT, "-") else _secret_line("Client id", hide=False)
    secret = _environment("OWNROOT_CLIENT_SECRET") or _secret_line("Client secret", hide=True)
    where = parse_base_url(oauth_url or f"{url}/oauth")
    return logged_in(
        url, where, ClientSecret(client_id, secret), None if target.cacert is None else target.cacert.absolute()
    )


def _access(login: "Login", factory: str) -> "ApiAccess":
    from pathlib import Path

    from ownroot.client.access import ApiAccess

    cacert = None if login.cacert is None else Path(login.cacert)
    is_access_token = login.oauth is not None
    return ApiAccess(url=login.url, factory=factory, token=login.token, cacert=cacert, is_access_token=is_access_token)


def _secret_line(what: str, *, hide: bool) -> str:
    """Ask on a terminal; elsewhere the next line of stdin is it."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=hide, err=True)).strip()
    line = sys.stdin.readline(4096).strip()
    if not line:
        raise InvalidInputError("bad-client", f"No {what.lower()} came from standard input.")
    return line


def _address(target: Target) -> str:
    url = target.url or _environment("OWNROOT_URL")
    if not url:
        raise click.UsageError("Missing option '--url' (or the environment variable OWNROOT_URL).")
    return url


def _token(given: str) -> str:
    if given not in (_PROMPT, "-"):
        return given
    if given == _PROMPT and (token := _environment("OWNROOT_TOKEN")):
        return token
    if given == _PROMPT and sys.stdin.isatty():
        return str(click.prompt("Token", hide_input=True, err=True)).strip()
    token = sys.stdin.read(4096).strip()
    if not token:
        raise InvalidInputError("bad-token", "No token came from standard input.")
    return token


def _only_factory(access: "ApiAccess") -> "ApiAccess":
    """Take the factory the token is for, if it is the only one it shows."""
    from ownroot.client.api import Api

    with Api(access) as api:
        names = [factory.name for factory in api.factories()]
    if len(names) != 1:
        listed = f"The token shows: {', '.join(names)}." if names else "The token shows none."
        raise InvalidInputError("factory-unclear", f"Which factory? {listed} Name one with -f.")
    return replace(access, factory=names[0])


def _environment(name: str) -> str:
    return os.environ.get(name, "")
