"""`ownroot devices updates`, `apps-states` and `tests`: what devices said about themselves (protocol: api.md §5)."""

from pathlib import Path

import click

from ownroot.cli.options import Target, json_option, target_options
from ownroot.console.lazy import OrderedGroup

_by_uuid_option = click.option("-u", "--by-uuid", is_flag=True, help="NAME is the device's uuid.")


@click.command(
    "updates",
    epilog="""\b
Examples:
  ownroot devices updates line-2-07
  ownroot devices updates line-2-07 certs-1764165600
""",
)
@click.argument("name")
@click.argument("update", required=False)
@_by_uuid_option
@target_options
@json_option
def show_updates(target: Target, name: str, update: str | None, by_uuid: bool, as_json: bool) -> None:
    """List a device's updates and certificate rotations, or the events of one UPDATE.

    The server keeps the last 20, and the last 50 events of each. A failed step is a failed update, whatever the device
    says afterwards.
    """
    from ownroot.cli.devices_reports_run import list_updates, show_events

    if update is None:
        list_updates(target, name, by_uuid=by_uuid, as_json=as_json)
    else:
        show_events(target, name, update, by_uuid=by_uuid, as_json=as_json)


@click.command("apps-states", epilog="\b\nExample:\n  ownroot devices apps-states line-2-07 --json\n")
@click.argument("name")
@_by_uuid_option
@target_options
@json_option
def show_apps_states(target: Target, name: str, by_uuid: bool, as_json: bool) -> None:
    """Show the last 10 reports of a device about its apps, newest first."""
    from ownroot.cli.devices_reports_run import show_apps_states as show

    show(target, name, by_uuid=by_uuid, as_json=as_json)


@click.group(cls=OrderedGroup)
def tests() -> None:
    """Results of actions that were run on a device."""


@tests.command("list", epilog="\b\nExample:\n  ownroot devices tests list line-2-07\n")
@click.argument("name")
@_by_uuid_option
@target_options
@json_option
def list_tests(target: Target, name: str, by_uuid: bool, as_json: bool) -> None:
    """List the last 50 tests of a device, newest first."""
    from ownroot.cli.devices_reports_run import list_tests as show

    show(target, name, by_uuid=by_uuid, as_json=as_json)


@tests.command("show", epilog="\b\nExample:\n  ownroot devices tests show line-2-07 reboot-1764165600_abc\n")
@click.argument("name")
@click.argument("test")
@_by_uuid_option
@target_options
@json_option
def show_test(target: Target, name: str, test: str, by_uuid: bool, as_json: bool) -> None:
    """Show one TEST with its results and artifacts."""
    from ownroot.cli.devices_reports_run import show_test as show

    show(target, name, test, by_uuid=by_uuid, as_json=as_json)


@tests.command(
    "artifact",
    epilog="""\b
Examples:
  ownroot devices tests artifact line-2-07 reboot-1764165600_abc console.log
  ownroot devices tests artifact line-2-07 reboot-1764165600_abc core.gz -o core.gz
""",
)
@click.argument("name")
@click.argument("test")
@click.argument("artifact")
@click.option("-o", "--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@_by_uuid_option
@target_options
@json_option
def fetch_artifact(
    target: Target, name: str, test: str, artifact: str, file: Path | None, by_uuid: bool, as_json: bool
) -> None:
    """Fetch an ARTIFACT of a test, exactly as the device sent it.

    On a terminal, control characters are shown by their escapes. With --json the content is base64.
    """
    from ownroot.cli.devices_reports_run import fetch_artifact as fetch

    fetch(target, (name, test, artifact), by_uuid=by_uuid, file=file, as_json=as_json)
