"""`ownroot keys est`: the command line of the EST server's certificate (api.md §3.3)."""

from datetime import timedelta
from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.options import Target, backdate_option, json_option, target_options
from ownroot.console.lazy import OrderedGroup


@click.group(cls=OrderedGroup)
def est() -> None:
    """The certificate of the EST server, where devices renew theirs."""


@est.command(
    short_help="Certify the EST server's key.",
    epilog="\b\nExample:\n  ownroot keys est authorize ~/acme-pki\n",
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@hsm_options()
@backdate_option
@target_options
@json_option
def authorize(target: Target, directory: Path, hsm: HsmKeys | None, backdate: timedelta, as_json: bool) -> None:
    """Let the server make a key for EST, certify it with the root in DIR and print the certificate.

    Again when it is stolen or ends: every run makes a new key. Nothing is written to DIR.
    """
    from ownroot.cli.keys_est_certificate import authorize_est

    authorize_est(target, directory, hsm=hsm, backdate=backdate, as_json=as_json)


@est.command(epilog="\b\nExample:\n  ownroot keys est show --pretty\n")
@click.option("--pretty", is_flag=True, help="Names, validity and who holds the key, instead of PEM.")
@target_options
@json_option
def show(target: Target, pretty: bool, as_json: bool) -> None:
    """Show the EST server's certificate, as PEM unless told otherwise."""
    from ownroot.cli.keys_est_certificate import show_est

    show_est(target, pretty=pretty, as_json=as_json)
