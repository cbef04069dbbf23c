"""`ownroot import`: a fleet with its PKI moves to this server, and no device is touched."""

from datetime import timedelta
from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.options import Target, backdate_option, json_option, target_options, yes_option


@click.command(
    "import",
    short_help="Move a fleet here: its PKI and its devices, none of which is touched.",
    epilog="""\b
Examples:
  ownroot import ~/acme-pki devices.csv --dry-run
  ownroot import ~/acme-pki devices.csv
  ownroot import ~/acme-pki devices.json --hsm-module /usr/lib/softhsm/libsofthsm2.so --hsm-token-label acme

\b
The list, CSV with a header line or JSON, one device each:
  uuid           required; the CN of its certificate
  certificate    its certificate as PEM, or
  public-key     its public key as PEM (-----BEGIN PUBLIC KEY-----)
  name, group    optional; a group that is missing is made
  production     true or false, where there is no certificate to say it
In CSV a PEM may have \\n in place of its line ends.
""",
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("fleet", metavar="LIST", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would move, and change nothing.")
@hsm_options()
@backdate_option
@target_options
@yes_option
@json_option
def import_fleet(
    target: Target,
    hsm: HsmKeys | None,
    backdate: timedelta,
    directory: Path,
    fleet: Path,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Move a fleet here. DIR holds its root and device CAs, LIST its devices.

    The root in DIR takes the factory over if it has none yet, and certifies new keys of this server. Device CAs of DIR
    come along; one whose key the old server held is disabled: its devices go on, and it admits no new ones. Then each
    device of LIST is pinned to its key. Run it again after a failure, or with more devices: what is here stays as it
    is. The devices come by themselves once the name they know leads here.
    """
    from ownroot.cli.import_run import Import, run_import

    order = Import(directory, fleet, hsm, backdate, dry_run=dry_run, assume_yes=yes)
    return run_import(target, order, as_json=as_json)
