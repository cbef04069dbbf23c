"""`ownroot config device-group`: the groups that devices are put in (protocol: api.md §6.3)."""

import click

from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup


@click.group("device-group", cls=OrderedGroup)
def device_group() -> None:
    """List, make, change and delete device groups."""


@device_group.command("list", epilog="\b\nExample:\n  ownroot config device-group list\n")
@target_options
@json_option
def list_groups(target: Target, as_json: bool) -> None:
    """List the device groups."""
    from ownroot.cli.config_groups_run import show_groups

    show_groups(target, as_json=as_json)


@device_group.command("create", epilog="\b\nExample:\n  ownroot config device-group create beta 'try it first'\n")
@click.argument("name")
@click.argument("description", required=False, default="")
@target_options
@json_option
def create_group(target: Target, name: str, description: str, as_json: bool) -> None:
    """Make a device group."""
    from ownroot.cli.config_groups_run import make_group

    make_group(target, name, description, as_json=as_json)


@device_group.command("update", epilog="\b\nExample:\n  ownroot config device-group update beta -n early\n")
@click.argument("name")
@click.option("-n", "--name", "new_name", metavar="NAME", help="Call it this.")
@click.option("-d", "--description", metavar="TEXT", help="Describe it so; may be empty.")
@target_options
@json_option
def update_group(target: Target, name: str, new_name: str | None, description: str | None, as_json: bool) -> None:
    """Rename or describe a device group; its devices and its configuration stay."""
    from ownroot.cli.config_groups_run import change_group

    if new_name is None and description is None:
        raise click.UsageError("Give a new --name or --description.")
    change_group(target, name, new_name, description, as_json=as_json)


@device_group.command("delete", epilog="\b\nExample:\n  ownroot config device-group delete beta\n")
@click.argument("name")
@target_options
@json_option
def delete_group(target: Target, name: str, as_json: bool) -> None:
    """Delete a device group that no device is in, and its configuration."""
    from ownroot.cli.config_groups_run import remove_group

    remove_group(target, name, as_json=as_json)
