"""`ownroot keys ca apply`: the third step of a ceremony, on the machine that reaches the server."""

from pathlib import Path

import click

from ownroot.cli.options import Target, json_option, target_options, yes_option


@click.command(
    short_help="Send what an offline root has approved.",
    epilog="\b\nExample:\n  ownroot keys ca apply approval.json\n",
)
@click.argument("source", metavar="APPROVAL.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target_options
@yes_option
@json_option
def apply(target: Target, source: Path, yes: bool, as_json: bool) -> None:
    """Carry out an approval: check the root's signature and that the factory's PKI is as it was, send, and look.

    It can be repeated: what is in effect is not sent again. Before a take-over it asks, since the root is new to all.
    """
    from ownroot.cli.ceremony_apply_run import run_apply

    run_apply(target, source, assume_yes=yes, as_json=as_json)
