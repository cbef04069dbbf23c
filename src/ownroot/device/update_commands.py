"""`ownroot-device check-update`: is there an update, by the factory's TUF keys?"""

import json
from pathlib import Path

import click

from ownroot.clock import utc_now
from ownroot.console.exit_codes import EXIT_CODES_HELP
from ownroot.console.text import printable
from ownroot.device.accepted_metadata import AcceptedMetadata
from ownroot.device.check_in import explaining_distrust, open_gateway
from ownroot.device.config_options import directory_option, json_option, warn
from ownroot.device.files import METADATA_DIRECTORY
from ownroot.device.identity import load_identity
from ownroot.device.update_check import UpdateCheck
from ownroot.device.update_report import describe, report_update


@click.command("check-update", epilog=EXIT_CODES_HELP)
@click.option("--installed", metavar="NAME", envvar="OWNROOT_INSTALLED_TARGET", help="Target this device runs now.")
@click.option(
    "--initial-roots",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/usr/lib/sota/tuf"),
    show_default=True,
    envvar="OWNROOT_INITIAL_ROOTS",
    help="Roots this device was made with: ci/1.root.json, prod/1.root.json and so on.",
)
@directory_option
@json_option
def check_update(*, installed: str | None, initial_roots: Path, directory: Path, as_json: bool) -> None:
    """See whether there is an update, believing only what the factory's TUF keys have signed.

    Roots, timestamp, snapshot and targets are fetched and verified in this order, and kept for the next run: what is
    tampered with, older than what was seen, expired, or put together from two states is refused by the rule's name,
    and what was accepted before stays. Nothing is downloaded or installed.

    \b
    Example:
      ownroot-device check-update --installed raspberrypi4-64-lmp-41 --json
    """
    identity = load_identity(directory)
    kept = AcceptedMetadata(directory / METADATA_DIRECTORY)
    clock = utc_now()
    with open_gateway(identity) as gateway, explaining_distrust(identity):
        done = UpdateCheck(identity, gateway, kept, initial_roots).refresh(clock)
    if done.now > clock:
        warn(f"The clock of this device is behind: everything was fresh at {done.now:%Y-%m-%d %H:%M} UTC already.")
    report = report_update(done, identity, installed)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    for line in describe(report):
        click.echo(printable(line))
