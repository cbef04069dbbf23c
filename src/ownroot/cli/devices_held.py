"""`ownroot devices held`, `accept` and `refuse`: the review after a restore (docs/operating.md)."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

import click

from ownroot.cli.options import Target, json_option, target_options, yes_option
from ownroot.console.exit_codes import ExitCode

if TYPE_CHECKING:
    from ownroot.cli.devices_held_run import Choice

_by_ca_serial = click.option(
    "--by-ca-serial", metavar="DECIMAL", help="Only devices whose certificate this device CA signed."
)


@click.command("held", epilog="\b\nExample:\n  ownroot devices held --by-ca-serial 5032 --json\n")
@_by_ca_serial
@click.option("-p", "--page", type=click.IntRange(min=1), default=1, show_default=True, help="Which page.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=500, show_default=True, help="Devices a page.")
@target_options
@json_option
def held_devices(target: Target, by_ca_serial: str | None, page: int, limit: int, as_json: bool) -> None:
    """List devices that wait for you since the server was restored from a backup.

    Their certificates were issued after the backup was made, so the server does not remember them and refuses them.
    """
    from ownroot.cli.devices_held_run import show_held

    show_held(target, ca_serial=by_ca_serial, page=page, limit=limit, as_json=as_json)


def _verdict_options(function: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Give a command the options of a verdict; its parameter `choice` says on whom it is."""

    @wraps(function)
    def command(
        *,
        uuids: tuple[str, ...],
        every: bool,
        by_ca_serial: str | None,
        key: str | None,
        replace_keys: bool = True,
        **options: object,
    ) -> ExitCode:
        from ownroot.cli.devices_held_run import Choice

        if bool(uuids) == every:
            raise click.UsageError("Name the devices by their uuids, or say --all.")
        if by_ca_serial is not None and not every:
            raise click.UsageError("--by-ca-serial narrows --all.")
        if key is not None and len(uuids) != 1:
            raise click.UsageError("--key chooses among the keys of one uuid.")
        choice = Choice(uuids, by_ca_serial, key, may_replace_keys=replace_keys or not every)
        return function(choice=choice, **options)

    decorated: Callable[..., ExitCode] = command
    for option in reversed(_VERDICT_OPTIONS):
        decorated = option(decorated)
    return decorated


_VERDICT_OPTIONS = (
    click.argument("uuids", metavar="[UUID]...", nargs=-1),
    click.option("--all", "every", is_flag=True, help="All that are held at this moment."),
    _by_ca_serial,
    click.option("--key", metavar="SHA256", help="Which key, where several claim the uuid; `devices held` shows them."),
    click.option("--dry-run", is_flag=True, help="Show on whom it would be, and change nothing."),
    yes_option,
    target_options,
    json_option,
)


@click.command(
    "accept",
    short_help="Let held devices in.",
    epilog="""\b
Examples:
  ownroot devices accept 11111111-2222-4333-8444-555555555555
  ownroot devices accept --all --dry-run
  ownroot devices accept --all --by-ca-serial 5032 --yes
""",
)
@click.option("--replace-keys", is_flag=True, help="With --all: also where a known device would get another key.")
@_verdict_options
def accept_devices(target: Target, choice: "Choice", dry_run: bool, yes: bool, as_json: bool) -> ExitCode:
    """Let held devices in, with the keys they came with; they get in at their next request.

    A known device whose key was renewed since the backup gets its new key, if you name it or say --replace-keys:
    whoever has that key is this device from then on. `--all` is all that are held when the command begins, so nothing
    slips in while you answer. Only owners and admins may accept.
    """
    from ownroot.cli.devices_held_run import Verdict, judge

    return judge(target, choice, Verdict.ACCEPT, dry_run=dry_run, assume_yes=yes, as_json=as_json)


@click.command(
    "refuse",
    short_help="Keep held devices out for good.",
    epilog="\b\nExample:\n  ownroot devices refuse 11111111-2222-4333-8444-555555555555\n",
)
@_verdict_options
def refuse_devices(target: Target, choice: "Choice", dry_run: bool, yes: bool, as_json: bool) -> ExitCode:
    """Keep held devices out for good.

    An unknown uuid goes on the deny list, as if deleted. Of a known device only the held key is refused, for ever; the
    device itself goes on.
    """
    from ownroot.cli.devices_held_run import Verdict, judge

    return judge(target, choice, Verdict.REFUSE, dry_run=dry_run, assume_yes=yes, as_json=as_json)
