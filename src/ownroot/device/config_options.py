"""Options that several commands of a device share, most of them for where its configuration goes."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ownroot.console.text import printable

Result = TypeVar("Result")

directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/var/sota"),
    show_default=True,
    envvar="OWNROOT_DEVICE_DIR",
    help="Directory of the device's identity.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def config_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command `--secrets-dir`, `--handlers-dir` and `--actions-dir`."""
    decorated: Callable[..., Result] = function
    for name, default, variable, text in (
        ("--actions-dir", "/usr/share/fioconfig/actions", "OWNROOT_ACTIONS_DIR", "Actions this device offers."),
        ("--handlers-dir", "/usr/share/fioconfig/handlers", "OWNROOT_HANDLERS_DIR", "Handlers it may run."),
        ("--secrets-dir", "/var/run/secrets", "OWNROOT_SECRETS_DIR", "Where configuration files go."),
    ):
        decorated = click.option(
            name,
            type=click.Path(file_okay=False, path_type=Path),
            default=Path(default),
            show_default=True,
            envvar=variable,
            help=text,
        )(decorated)
    return decorated


def warn(text: str) -> None:
    """Tell on stderr what someone should look after; the check-in goes on."""
    click.echo(f"Warning: {printable(text)}", err=True)
