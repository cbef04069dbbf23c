"""`ownroot devices config`: the configuration of one device (protocol: api.md §6)."""

from typing import TYPE_CHECKING

import click

from ownroot.cli.config_options import limit_option, rotation_options, set_options, updates_options
from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup

if TYPE_CHECKING:
    from ownroot.cli.config_rotation import RotationOrder
    from ownroot.cli.config_run import SetOrder
    from ownroot.client.config_places import ConfigPlace

_by_uuid = click.option("-u", "--by-uuid", is_flag=True, help="NAME is the device's uuid.")


@click.group("config", cls=OrderedGroup)
def device_config() -> None:
    """Configure one device; its values are encrypted so that it alone can read them."""


@device_config.command("set", epilog="\b\nExample:\n  ownroot devices config set line-2-07 wifi.conf==./wifi.conf\n")
@click.argument("name")
@set_options
@_by_uuid
@target_options
@json_option
def set_config(target: Target, name: str, order: "SetOrder", by_uuid: bool, as_json: bool) -> None:
    """Put files into a device's configuration; files that are not named stay.

    Values are encrypted on this machine for the device's key, unless --unencrypted or the request says otherwise.
    """
    from ownroot.cli.config_run import set_files

    set_files(target, _place(name, by_uuid), order, as_json=as_json)


@device_config.command("log", epilog="\b\nExample:\n  ownroot devices config log line-2-07 --json\n")
@click.argument("name")
@_by_uuid
@limit_option
@target_options
@json_option
def log(target: Target, name: str, by_uuid: bool, limit: int, as_json: bool) -> None:
    """Show the last changes, newest first, and when the device fetched them."""
    from ownroot.cli.config_run import show_log

    show_log(target, _place(name, by_uuid), limit=limit, as_json=as_json)


@device_config.command("delete", epilog="\b\nExample:\n  ownroot devices config delete line-2-07 wifi.conf\n")
@click.argument("name")
@click.argument("file")
@_by_uuid
@target_options
@json_option
def delete(target: Target, name: str, file: str, by_uuid: bool, as_json: bool) -> None:
    """Take a file out of a device's configuration; the device deletes it."""
    from ownroot.cli.config_run import delete_file

    delete_file(target, _place(name, by_uuid), file, as_json=as_json)


@device_config.command("updates", epilog="\b\nExample:\n  ownroot devices config updates line-2-07 --tag next\n")
@click.argument("name")
@updates_options
@_by_uuid
@target_options
@json_option
def updates(
    target: Target, name: str, tag: str | None, apps: str | None, force: bool, by_uuid: bool, as_json: bool
) -> None:
    """Choose the tag and the apps that a device follows; without options, show what is chosen."""
    from ownroot.cli.config_run import set_updates

    set_updates(target, _place(name, by_uuid), tag=tag, apps=apps, force=force, as_json=as_json)


@device_config.command("group", epilog="\b\nExample:\n  ownroot devices config group line-2-07 beta\n")
@click.argument("name")
@click.argument("group", required=False)
@click.option("--unset", is_flag=True, help="Take it out of the group it is in.")
@_by_uuid
@target_options
@json_option
def group(target: Target, name: str, group: str | None, unset: bool, by_uuid: bool, as_json: bool) -> None:
    """Put a device into a group; it gets that group's configuration."""
    from ownroot.cli.config_run import move_to_group

    if bool(group) == unset:
        raise click.UsageError("Name a group, or say --unset.")
    move_to_group(target, name, group or "", by_uuid=by_uuid, as_json=as_json)


@device_config.command(
    "rotate-certs", epilog="\b\nExample:\n  ownroot devices config rotate-certs line-2-07 -r yearly\n"
)
@click.argument("name")
@rotation_options
@_by_uuid
@target_options
@json_option
def rotate(target: Target, name: str, order: "RotationOrder", by_uuid: bool, as_json: bool) -> None:
    """Let a device renew its certificate."""
    from ownroot.cli.config_rotation import rotate_certs

    rotate_certs(target, _place(name, by_uuid), order, as_json=as_json)


def _place(name: str, by_uuid: bool) -> "ConfigPlace":
    from ownroot.client.config_places import ConfigPlace

    return ConfigPlace(device=name, by_uuid=by_uuid)
