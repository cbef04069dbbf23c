"""`devices rotations`, `cancel-rotation` and `recovery`: the owner's word on renewals."""

import click

from ownroot.cli.options import Target, json_option, target_options, yes_option

_by_uuid = click.option("-u", "--by-uuid", is_flag=True, help="NAME is the device's uuid.")


@click.command(
    "cancel-rotation",
    short_help="Forget the key a device announced, and unlock its configuration.",
    epilog="\b\nExample:\n  ownroot devices cancel-rotation line-2-07 --yes\n",
)
@click.argument("name")
@_by_uuid
@yes_option
@target_options
@json_option
def cancel_rotation(target: Target, name: str, by_uuid: bool, yes: bool, as_json: bool) -> None:
    """Cancel a key rotation that does not end: the announced key is forgotten, the present one stays good.

    A device that already uses a certificate over the forgotten key is refused until it announces that key again with
    its old one. `ownroot devices show` says since when a rotation is under way.
    """
    from ownroot.client.api import Api
    from ownroot.console.output import Output

    output = Output(as_json=as_json)
    access = target.access()
    if output.can_ask:
        output.confirm(f"Cancel the rotation of {name} in factory {access.factory}?", assume_yes=yes)
    with Api(access) as api:
        api.cancel_rotation(name, by_uuid=by_uuid)
    output.line(f"The rotation of {name} is cancelled; its present key stays good.")
    if as_json:
        output.document({"factory": access.factory, "cancelled": name})


@click.command(
    "rotations",
    short_help="Watch a fleet renew: devices that have announced a next key.",
    epilog="\b\nExamples:\n  ownroot devices rotations\n  ownroot devices rotations --json\n",
)
@target_options
@json_option
def rotations(target: Target, as_json: bool) -> None:
    """List devices that have announced a next key and have not come with it yet, since when, and what keeps them.

    Most are on the list for seconds. Who stays needs a look: its configuration is locked meanwhile.
    """
    from ownroot.cli.rotations_run import show_rotations

    show_rotations(target, as_json=as_json)


@click.command(
    "recovery",
    short_help="Show or set whether devices may renew an expired certificate.",
    epilog="""\b
Examples:
  ownroot devices recovery
  ownroot devices recovery --days 90
  ownroot devices recovery --off
""",
)
@click.option("--days", metavar="N", type=click.IntRange(1, 3650), help="Up to N days after its end.")
@click.option("--off", is_flag=True, help="Never, which is how a factory begins.")
@target_options
@json_option
def recovery(target: Target, days: int | None, off: bool, as_json: bool) -> None:
    """Show whether devices may renew a certificate that has expired, or decide it.

    A device that is let in so does nothing but renew, with the key it is known by. Every such renewal is in the audit
    log.
    """
    from ownroot.client.api import Api
    from ownroot.console.output import Output

    if off and days is not None:
        raise click.UsageError("Give --days or --off, not both.")
    output = Output(as_json=as_json)
    with Api(target.access()) as api:
        policy = api.recovery() if days is None and not off else api.set_recovery(days or 0)
    if as_json:
        output.document(policy)
    elif policy.max_expired_days:
        output.line(f"Devices may renew a certificate up to {policy.max_expired_days} days after its end.")
    else:
        output.line("No device may renew a certificate that has expired.")
