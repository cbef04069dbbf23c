"""`ownroot config`: the configuration of a factory and of its device groups (protocol: api.md §6)."""

from typing import TYPE_CHECKING

import click

from ownroot.cli.config_groups import device_group
from ownroot.cli.config_options import group_option, limit_option, rotation_options, set_options, updates_options
from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup

if TYPE_CHECKING:
    from ownroot.cli.config_rotation import RotationOrder
    from ownroot.cli.config_run import SetOrder
    from ownroot.client.config_places import ConfigPlace


@click.group(
    cls=OrderedGroup,
    epilog="""\b
Examples:
  ownroot config set wifi.conf==./wifi.conf --reason 'new access points'
  ownroot config updates -g beta --tag next
  ownroot config log
""",
)
def config() -> None:
    """Configure the whole factory, or a device group; one device: `ownroot devices config`."""


@config.command(
    "set",
    epilog="""\b
Examples:
  ownroot config set wifi.conf==./wifi.conf npm-token=1234 --reason 'new site'
  ownroot config set -g beta --raw request.json --create
""",
)
@set_options
@group_option
@target_options
@json_option
def set_config(target: Target, order: "SetOrder", group: str | None, as_json: bool) -> None:
    """Put files into the configuration; files that are not named stay.

    Values are sealed at rest and reach devices over their own connection. For values that even the server must not
    read: `ownroot devices config set`.
    """
    from ownroot.cli.config_run import set_files

    set_files(target, _place(group), order, as_json=as_json)


@config.command("log", epilog="\b\nExample:\n  ownroot config log -g beta\n")
@group_option
@limit_option
@target_options
@json_option
def log(target: Target, group: str | None, limit: int, as_json: bool) -> None:
    """Show the last changes, newest first."""
    from ownroot.cli.config_run import show_log

    show_log(target, _place(group), limit=limit, as_json=as_json)


@config.command("delete", epilog="\b\nExample:\n  ownroot config delete wifi.conf\n")
@click.argument("file")
@group_option
@target_options
@json_option
def delete(target: Target, file: str, group: str | None, as_json: bool) -> None:
    """Take a file out of the configuration; devices delete it."""
    from ownroot.cli.config_run import delete_file

    delete_file(target, _place(group), file, as_json=as_json)


@config.command(
    "updates", epilog="\b\nExample:\n  ownroot config updates -g beta --tag next --apps shellhttpd,fluentd\n"
)
@updates_options
@group_option
@target_options
@json_option
def updates(target: Target, group: str | None, tag: str | None, apps: str | None, force: bool, as_json: bool) -> None:
    """Choose the tag and the apps that devices follow; without options, show what is chosen."""
    from ownroot.cli.config_run import set_updates

    set_updates(target, _place(group), tag=tag, apps=apps, force=force, as_json=as_json)


@config.command("rotate-certs", epilog="\b\nExample:\n  ownroot config rotate-certs -g beta -r 'yearly renewal'\n")
@rotation_options
@click.option("-g", "--group", metavar="GROUP", required=True, help="The device group.")
@target_options
@json_option
def rotate(target: Target, order: "RotationOrder", group: str, as_json: bool) -> None:
    """Let every device of a group renew its certificate."""
    from ownroot.cli.config_rotation import rotate_certs

    rotate_certs(target, _place(group), order, as_json=as_json)


config.add_command(device_group)


def _place(group: str | None) -> "ConfigPlace":
    from ownroot.client.config_places import ConfigPlace

    if group == "":
        raise click.UsageError("A device group has a name.")
    return ConfigPlace(group=group)
