"""`ownroot devices`: the command line of a factory's devices (protocol: api.md §5)."""

from pathlib import Path

import click

from ownroot.cli.devices_clones import clone_policy, quarantine, release
from ownroot.cli.devices_config import device_config
from ownroot.cli.devices_held import accept_devices, held_devices, refuse_devices
from ownroot.cli.devices_renewals import cancel_rotation, recovery, rotations
from ownroot.cli.devices_reports import show_apps_states, show_updates, tests
from ownroot.cli.devices_standing import chown, delete_denied, list_denied, rename, why
from ownroot.cli.options import Target, json_option, target_options, yes_option
from ownroot.console.lazy import OrderedGroup
from ownroot.console.switches import at_most_one

_PAGE_SIZES = ("10", "20", "30", "40", "50", "100", "200", "500", "1000")
_SORT_KEYS = ("name", "-name", "last-seen", "-last-seen")

by_uuid_option = click.option("-u", "--by-uuid", is_flag=True, help="NAME is the device's uuid.")


@click.group(
    cls=OrderedGroup, epilog="\b\nExamples:\n  ownroot devices list 'line-2-*'\n  ownroot devices why line-2-07\n"
)
def devices() -> None:
    """List, show, configure and delete devices; review those held after a restore."""


@devices.command(
    "list",
    epilog="""\b
Examples:
  ownroot devices list 'line-2-*' --by-group beta
  ownroot devices list --sort-by -last-seen --json
  ownroot devices list --only-prod --export csv --to fleet.csv
""",
)
@click.argument("pattern", required=False)
@click.option("-g", "--by-group", metavar="GROUP", help="Only devices of this group.")
@click.option("--by-tag", metavar="TAG", help="Only devices that follow this tag.")
@click.option("--by-ca-serial", metavar="DECIMAL", help="Only devices whose certificate this device CA signed.")
@click.option("--by-target", metavar="TARGET", help="Only devices that run this target.")
@click.option("--uuid", metavar="UUID", help="Only the device with this uuid.")
@click.option("--just-mine", is_flag=True, help="Only devices that you own.")
@click.option("--only-prod", is_flag=True, help="Only production devices.")
@click.option("--only-non-prod", is_flag=True, help="Only test devices.")
@click.option("--only-suspected", is_flag=True, help="Only devices whose key may be copied.")
@click.option("--sort-by", type=click.Choice(_SORT_KEYS), help="Order. [default: the server's: owner and name]")
@click.option(
    "--offline-threshold",
    metavar="HOURS",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Not seen for longer than this: offline.",
)
@click.option("-p", "--page", type=click.IntRange(min=1), default=1, show_default=True, help="Which page.")
@click.option("-n", "--limit", type=click.Choice(_PAGE_SIZES), default="500", show_default=True, help="Devices a page.")
@click.option(
    "--export", "form", type=click.Choice(("csv", "jsonl")), help="Write all of them, by name, as CSV or JSON lines."
)
@click.option(
    "--to", "path", type=click.Path(path_type=Path, dir_okay=False), help="The file of an export. [default: stdout]"
)
@target_options
@json_option
def list_devices(
    target: Target,
    pattern: str | None,
    by_group: str | None,
    by_tag: str | None,
    by_ca_serial: str | None,
    by_target: str | None,
    uuid: str | None,
    just_mine: bool,
    only_prod: bool,
    only_non_prod: bool,
    only_suspected: bool,
    sort_by: str | None,
    offline_threshold: int,
    page: int,
    limit: str,
    form: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """List devices, all or those whose name matches PATTERN (`*` and `?`).

    Where no factory is known, those of all that the token is for. An export has each device that is there all the time
    exactly once.
    """
    from ownroot.cli.devices_export import export_devices
    from ownroot.cli.devices_show import show_list
    from ownroot.client.device_query import DeviceQuery

    production = at_most_one({"--only-prod": only_prod, "--only-non-prod": only_non_prod})
    query = DeviceQuery(
        name=pattern,
        group=by_group,
        match_tag=by_tag,
        target_name=by_target,
        ca_serial=by_ca_serial,
        uuid=uuid,
        mine=just_mine,
        prod=None if production is None else only_prod,
        suspected=only_suspected,
        sortby=sort_by.replace("last-seen", "last_seen") if sort_by else None,
        page=page,
        limit=int(limit),
    )
    if form is not None:
        if sort_by not in (None, "name") or page > 1 or as_json:
            raise click.UsageError("--export writes everything by name: leave out --sort-by, --page and --json.")
        export_devices(target, query, form=form, path=path)
        return
    if path is not None:
        raise click.UsageError("--to is the file of an --export.")
    show_list(target, query, offline_after_hours=offline_threshold, as_json=as_json)


@devices.command("show", epilog="\b\nExample:\n  ownroot devices show line-2-07\n")
@click.argument("name")
@by_uuid_option
@target_options
@json_option
def show_device(target: Target, name: str, by_uuid: bool, as_json: bool) -> None:
    """Show one device."""
    from ownroot.cli.devices_show import show_one

    show_one(target, name, by_uuid=by_uuid, as_json=as_json)


@devices.command(
    "delete",
    short_help="Delete devices: cut them off until they register again.",
    epilog="\b\nExample:\n  ownroot devices delete line-2-07 line-2-08 --yes\n",
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@by_uuid_option
@yes_option
@target_options
@json_option
def delete_devices(target: Target, names: tuple[str, ...], by_uuid: bool, yes: bool, as_json: bool) -> None:
    """Delete devices: they are cut off at once and refused until they are registered again.

    Asks on a terminal. Stops at the first that cannot be deleted.
    """
    from ownroot.cli.devices_delete import delete_all

    delete_all(target, names, by_uuid=by_uuid, assume_yes=yes, as_json=as_json)


devices.add_command(device_config)
for command in (
    show_updates,
    show_apps_states,
    tests,
    held_devices,
    accept_devices,
    refuse_devices,
    rename,
    chown,
    list_denied,
    delete_denied,
    why,
    rotations,
    cancel_rotation,
    recovery,
    quarantine,
    release,
    clone_policy,
):
    devices.add_command(command)
