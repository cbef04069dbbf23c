"""`ownroot keys show`: who holds what, the fleet's two kinds of trust side by side."""

from pathlib import Path

import click

from ownroot.cli.options import Target, json_option, target_options


@click.command(
    epilog="""\b
Examples:
  ownroot keys show
  ownroot keys show --pki-dir ~/acme-pki -k tuf-keys.tgz --json
"""
)
@click.option(
    "--pki-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Your PKI directory, to say which keys are in it; none is opened.",
)
@click.option(
    "-k",
    "--keys",
    metavar="KEYS.tgz",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Your TUF key file, to say which keys are in it, and to verify the root up from the one it knows.",
)
@target_options
@json_option
def show(target: Target, pki_dir: Path | None, keys: Path | None, as_json: bool) -> None:
    """Show who holds which key: of the PKI, which lets devices in, and of TUF, which says what they install."""
    from ownroot.cli.keys_show_run import run_show

    run_show(target, pki_dir=pki_dir, keys=keys, as_json=as_json)
