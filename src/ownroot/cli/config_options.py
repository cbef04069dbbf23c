"""Options that commands on configuration share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

Result = TypeVar("Result")

group_option = click.option("-g", "--group", metavar="GROUP", help="Of this device group, not of the whole factory.")
limit_option = click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many changes, as far as the server keeps them; ours keeps 10.",
)


def set_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the options of `set`; its parameter `order` is the `SetOrder` they make."""

    @wraps(function)
    def command(*, files: tuple[str, ...], raw: Path | None, **options: object) -> Result:
        from ownroot.cli.config_run import SetOrder

        if bool(files) == (raw is not None):
            raise click.UsageError("Give files as NAME=TEXT or NAME==FILE, or a request with --raw.")
        words = ("unencrypted", "reason", "create")
        order: SetOrder = SetOrder(files, raw, **{word: options.pop(word) for word in words})  # type: ignore[arg-type]
        return function(order=order, **options)

    return _with(
        command,
        click.argument("files", metavar="[NAME=TEXT | NAME==FILE]...", nargs=-1),
        click.option("--reason", default="", help="Why, for the log."),
        click.option("--create", is_flag=True, help="These files are all there are from now on."),
        click.option("--unencrypted", is_flag=True, help="Keep and show the values as plain text."),
        click.option(
            "--raw", metavar="JSON", type=click.Path(path_type=Path), help="Send this file; `-`: standard input."
        ),
    )


def updates_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command `--tag`, `--apps` and `--force`."""
    return _with(
        function,
        click.option("--tag", metavar="TAG", help="Follow this tag; more with commas, `,` alone: any."),
        click.option("--apps", metavar="APPS", help="Run these apps: a comma list; `,` alone: none."),
        click.option("--force", is_flag=True, help="Send it even if the server would advise against it."),
    )


def rotation_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the options of `rotate-certs`; its parameter `order` is the `RotationOrder` they make."""

    @wraps(function)
    def command(
        *,
        reason: str,
        server_name: str | None,
        est_port: int,
        est_resource: str,
        hsm_pkey_ids: str,
        hsm_cert_ids: str,
        dryrun: bool,
        **options: object,
    ) -> Result:
        from ownroot.cli.config_rotation import RotationOrder

        order: RotationOrder = RotationOrder(
            reason, server_name, est_port, est_resource, hsm_pkey_ids, hsm_cert_ids, dryrun
        )
        return function(order=order, **options)

    return _with(
        command,
        click.option("-r", "--reason", required=True, help="Why, for the log."),
        click.option("--server-name", metavar="HOST", help="EST server. [default: the EST certificate's name]"),
        click.option("--est-port", type=click.IntRange(1, 65535), default=8443, show_default=True, help="Its port."),
        click.option("--est-resource", default="/.well-known/est", show_default=True, help="Its path."),
        click.option(
            "--hsm-pkey-ids", default="01,07", show_default=True, help="Slots of a token's keys, used in turn."
        ),
        click.option("--hsm-cert-ids", default="03,09", show_default=True, help="Slots of its certificates."),
        click.option("--dryrun", "--dry-run", "dryrun", is_flag=True, help="Show what would be sent."),
    )


def _with(function: Callable[..., Result], *options: Callable[..., Callable[..., Result]]) -> Callable[..., Result]:
    decorated = function
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
