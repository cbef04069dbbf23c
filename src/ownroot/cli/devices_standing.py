"""`devices rename|chown|list-denied|delete-denied|why`: what a device is called, whose it is, and why it is refused."""

import click

from ownroot.cli.options import Target, json_option, target_options, yes_option

_by_uuid = click.option("-u", "--by-uuid", is_flag=True, help="NAME is the device's uuid.")


@click.command("rename", epilog="\b\nExample:\n  ownroot devices rename line-2-07 oven-7\n")
@click.argument("name")
@click.argument("new_name")
@_by_uuid
@target_options
@json_option
def rename(target: Target, name: str, new_name: str, by_uuid: bool, as_json: bool) -> None:
    """Give a device another name; its uuid and its key stay."""
    from ownroot.cli.devices_standing_run import change_one
    from ownroot.wire.devices import DeviceForm

    change_one(target, name, DeviceForm(name=new_name), by_uuid=by_uuid, as_json=as_json)


@click.command("chown", epilog="\b\nExample:\n  ownroot devices chown line-2-07 5f0c1d2e3a4b5c6d7e8f9012\n")
@click.argument("name")
@click.argument("owner", metavar="POLIS_ID")
@_by_uuid
@target_options
@json_option
def chown(target: Target, name: str, owner: str, by_uuid: bool, as_json: bool) -> None:
    """Give a device to another member of the factory, named by their id (`ownroot user list` on the server)."""
    from ownroot.cli.devices_standing_run import change_one
    from ownroot.wire.devices import DeviceForm

    change_one(target, name, DeviceForm(owner=owner), by_uuid=by_uuid, as_json=as_json)


@click.command("list-denied", epilog="\b\nExample:\n  ownroot devices list-denied --json\n")
@click.option("-p", "--page", type=click.IntRange(min=1), default=1, show_default=True, help="Which page.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Devices a page.")
@target_options
@json_option
def list_denied(target: Target, page: int, limit: int, as_json: bool) -> None:
    """List deleted devices: the gateway refuses their uuids until they register again."""
    from ownroot.cli.devices_standing_run import show_denied

    show_denied(target, page=page, limit=limit, as_json=as_json)


@click.command(
    "delete-denied",
    short_help="Take deleted devices off the deny list.",
    epilog="\b\nExample:\n  ownroot devices delete-denied 11111111-2222-4333-8444-000000000001 --yes\n",
)
@click.argument("uuids", metavar="UUID...", nargs=-1, required=True)
@yes_option
@target_options
@json_option
def delete_denied(target: Target, uuids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Take uuids off the deny list: a device with a good certificate for one is let in again, as a new device.

    Asks on a terminal. The audit log says who did it.
    """
    from ownroot.cli.devices_standing_run import lift_denials

    lift_denials(target, uuids, assume_yes=yes, as_json=as_json)


@click.command("why", epilog="\b\nExample:\n  ownroot devices why line-2-07\n")
@click.argument("name", metavar="NAME_OR_UUID")
@click.option("-n", "--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="At most so many.")
@target_options
@json_option
def why(target: Target, name: str, limit: int, as_json: bool) -> None:
    """Say why the gateway refused a device, and what to do: the last reasons, newest first.

    Also for devices that are not known (any more): then give the uuid. Whoever has a certificate with that uuid counts,
    an impostor too; the address says from where.
    """
    from ownroot.cli.devices_standing_run import explain

    explain(target, name, limit=limit, as_json=as_json)
