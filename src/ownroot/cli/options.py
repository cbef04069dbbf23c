"""Options that many commands share, and what they amount to."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ownroot.errors import UnauthenticatedError

if TYPE_CHECKING:
    from ownroot.client.access import ApiAccess
    from ownroot.client.api import Api

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Target:
    """Which server and factory a command line names; None: not named there."""

    factory: str | None
    url: str | None
    cacert: Path | None

    def access(self, *, needs_factory: bool = True) -> "ApiAccess":
        """Complete it from the environment, then from the settings file.

        A factory without a login of its own never borrows another's token.

        Args:
            needs_factory: False = where none is known it is empty, which means all that the token is for.
        Raises:
            UnauthenticatedError: `not-logged-in`, naming what is missing and which logins there are.
            InvalidInputError: `config-unreadable`.
            OwnrootError: as `cli.oauth_login.renewed`; the login's token ends and the server gives no other.
        """
        from ownroot.cli.settings import Login, environment_settings
        from ownroot.client.access import ApiAccess

        path, settings = environment_settings()
        factory = self.factory or os.environ.get("OWNROOT_FACTORY") or settings.default_factory
        login = settings.logins.get(factory or "", Login(url="", token=""))
        url = self.url or os.environ.get("OWNROOT_URL") or login.url
        token = os.environ.get("OWNROOT_TOKEN") or (login.token if url.rstrip("/") == login.url else "")
        is_access_token = False
        if token == login.token and factory and login.oauth is not None:
            from ownroot.cli.oauth_login import renewed

            token, is_access_token = renewed(path, factory, login).token, True
        wanted = {"the server's address": url, "a factory": factory, "a token": token}
        missing = [name for name, value in wanted.items() if not value]
        if not needs_factory:
            missing = [name for name in missing if name != "a factory"]
        if missing:
            logins = {name: one.url for name, one in settings.logins.items()}
            raise _not_logged_in(missing, factory, url, logins)
        cacert = self.cacert or (Path(login.cacert) if login.cacert else None)
        return ApiAccess(url=url, factory=factory or "", token=token, cacert=cacert, is_access_token=is_access_token)

    def open(self) -> "Api":
        """Return a client for it; the caller closes it."""
        from ownroot.client.api import Api

        return Api(self.access())


def _not_logged_in(
    missing: Sequence[str], factory: str | None, url: str, logins: Mapping[str, str]
) -> UnauthenticatedError:
    """Say what is missing for which factory and server, and what there is instead: a name may be misspelt."""
    asked = f" (factory {factory or 'not said'}, server {url or 'not said'})" if factory or url else ""
    known = ", ".join(f"{name} at {at}" for name, at in logins.items()) or "none"
    return UnauthenticatedError(
        "not-logged-in", f"Not known on this machine: {', '.join(missing)}{asked}. Its logins: {known}."
    )


def backdate_option(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command that signs with the root `--backdate`, as a span of time."""

    @wraps(function)
    def command(*, backdate: int, **options: object) -> Result:
        return function(backdate=timedelta(minutes=backdate), **options)

    option = click.option(
        "--backdate",
        metavar="MINUTES",
        type=click.IntRange(0, 7 * 24 * 60),
        default=5,
        show_default=True,
        envvar="OWNROOT_BACKDATE",
        show_envvar=True,
        help="Certificates begin so long before now, for devices whose clock is behind.",
    )
    decorated: Callable[..., Result] = option(command)
    return decorated


def target_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command `-f/--factory`, `--url` and `--cacert`; its parameter `target` is the `Target` they make."""

    @wraps(function)
    def command(*, factory: str | None, url: str | None, cacert: Path | None, **options: object) -> Result:
        return function(target=Target(factory, url, cacert), **options)

    decorated: Callable[..., Result] = command
    for option in reversed(_TARGET_OPTIONS):
        decorated = option(decorated)
    return decorated


_TARGET_OPTIONS = (
    click.option("-f", "--factory", metavar="NAME", help="The factory. [default: OWNROOT_FACTORY, or login's]"),
    click.option("--url", metavar="URL", help="The server's API. [default: OWNROOT_URL, or login's]"),
    click.option(
        "--cacert",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Trust the CAs in this PEM file too.",
    ),
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, errors included.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
