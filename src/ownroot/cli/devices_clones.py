"""`devices quarantine`, `release` and `clone-policy`: the owner's word on devices whose key may be copied."""

import click

from ownroot.cli.options import Target, json_option, target_options, yes_option
from ownroot.console.switches import at_most_one

_reason_option = click.option("--reason", metavar="TEXT", default="", help="For the audit log; one line.")


@click.command(
    "quarantine",
    short_help="Refuse a device until it is released.",
    epilog="\b\nExample:\n  ownroot devices quarantine line-2-07 --reason 'stolen from the truck' --yes\n",
)
@click.argument("name", metavar="NAME_OR_UUID")
@_reason_option
@yes_option
@target_options
@json_option
def quarantine(target: Target, name: str, reason: str, yes: bool, as_json: bool) -> None:
    """Put a device in quarantine: its connections are cut and the gateway refuses it, whatever key it comes with.

    Nothing of it is deleted. Asks on a terminal. `ownroot devices release` lets it in again.
    """
    from ownroot.cli.devices_clones_run import quarantine_one

    quarantine_one(target, name, reason, assume_yes=yes, as_json=as_json)


@click.command(
    "release",
    short_help="End the suspicion that a device's key is copied, and its quarantine.",
    epilog="\b\nExample:\n  ownroot devices release line-2-07 --reason 'two modems, one device' --yes\n",
)
@click.argument("name", metavar="NAME_OR_UUID")
@_reason_option
@yes_option
@target_options
@json_option
def release(target: Target, name: str, reason: str, yes: bool, as_json: bool) -> None:
    """End a suspicion and a quarantine: the device is let in again, and signs are counted anew.

    Before that, find out who has the key: `ownroot devices why NAME` names the networks. A copy that is let in is the
    device. So give the device a new key at once (`ownroot devices config rotate-certs NAME -r REASON`); who has the old
    one is refused from then on. If that is the device itself, the copy was faster: delete it and register it again.
    Asks on a terminal.
    """
    from ownroot.cli.devices_clones_run import release_one

    release_one(target, name, reason, assume_yes=yes, as_json=as_json)


@click.command(
    "clone-policy",
    short_help="Show or set what follows when a device's key seems to be copied.",
    epilog="""\b
Examples:
  ownroot devices clone-policy
  ownroot devices clone-policy --quarantine
  ownroot devices clone-policy --tell
""",
)
@click.option("--tell", is_flag=True, help="Mark the device and let it go on. How a factory begins.")
@click.option("--quarantine", is_flag=True, help="Refuse it until you release it.")
@target_options
@json_option
def clone_policy(target: Target, tell: bool, quarantine: bool, as_json: bool) -> None:
    """Show what follows when a device's key seems to be used by two, or decide it.

    You are told in any case: `devices list`, `show` and `why`, `doctor` and the audit log say so. A quarantine keeps a
    copy out, and the device with it, until somebody has looked.
    """
    from ownroot.cli.devices_clones_run import show_or_set_policy

    wanted = at_most_one({"--tell": tell, "--quarantine": quarantine})
    show_or_set_policy(target, wanted and wanted.removeprefix("--"), as_json=as_json)
