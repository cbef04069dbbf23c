"""`ownroot keys ca approve`: the second step of a ceremony, on the machine with the root. No network is used."""

from datetime import timedelta
from pathlib import Path

import click

from ownroot.cli.hsm import HsmKeys, hsm_options
from ownroot.cli.options import backdate_option, json_option, yes_option

# As long as a key the server made waits: a signed command that lies about longer than that is a danger, not a help.
MAX_CRL_MINUTES = 24 * 60


@click.command(
    short_help="Sign a request with the root; no server is needed.",
    epilog="""\b
Examples:
  ownroot keys ca approve request.json approval.json --pki-dir ~/acme-pki --operator "Ada Lovelace"
  ownroot keys ca approve request.json approval.json --pki-dir ~/acme-pki --operator Ada --operator Grace \\
      --hsm-module /usr/lib/softhsm/libsofthsm2.so --hsm-token-label acme
""",
)
@click.argument("source", metavar="REQUEST.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("out", metavar="APPROVAL.json", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--pki-dir",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the root is, or will be.",
)
@click.option("--operator", "operators", metavar="NAME", multiple=True, required=True, help="Who is there. Repeatable.")
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the ceremony record goes. [default: APPROVAL.record.json]",
)
@click.option(
    "--crl-valid-minutes",
    type=click.IntRange(15, MAX_CRL_MINUTES),
    default=15,
    show_default=True,
    help="How long a verdict on device CAs can be applied: the way back to the server must fit in.",
)
@hsm_options(local_ca=True)
@backdate_option
@yes_option
@json_option
def approve(
    source: Path,
    out: Path,
    pki_dir: Path,
    operators: tuple[str, ...],
    record: Path | None,
    crl_valid_minutes: int,
    hsm: HsmKeys | None,
    backdate: timedelta,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what a request would change, ask, and sign it with the root in DIR or on a token.

    Writes the approval for `keys ca apply` and a signed ceremony record to keep. Whoever holds the approval and a token
    can carry it out until it expires; nobody can change it.
    """
    from ownroot.cli.ceremony_approval_run import ApproveOptions, run_approve

    options = ApproveOptions(
        operators=operators,
        record=record or out.with_name(f"{out.name.removesuffix('.json')}.record.json"),
        crl_lifetime=timedelta(minutes=crl_valid_minutes),
        backdate=backdate,
        assume_yes=yes,
        as_json=as_json,
    )
    run_approve(source, out, pki_dir, hsm, options)
