"""`ownroot doctor`: look at a factory's whole PKI from the owner's machine and say what needs looking after."""

from pathlib import Path

import click

from ownroot.cli.options import Target, json_option, target_options


@click.command(
    epilog="""\b
Examples:
  ownroot doctor
  ownroot doctor --pki-dir ./acme-pki --within 120
  ownroot doctor --json || notify-the-owner

\b
Exit codes: 0 nothing to do or warnings only, 11 at least one fault; the others as for every command.
"""
)
@click.option(
    "--pki-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Your PKI directory: is the server's root yours?",
)
@click.option(
    "--within",
    "within_days",
    metavar="DAYS",
    type=click.IntRange(min=0, max=36_500),
    default=60,
    show_default=True,
    help="Warn when a last safe day to act comes this soon.",
)
@target_options
@json_option
def doctor(target: Target, pki_dir: Path | None, within_days: int, as_json: bool) -> int:
    """Check a factory's PKI: ends, signatures, clocks, device CAs that nobody uses or that are missing."""
    from ownroot.cli.doctor_run import examine

    return examine(target, pki_dir=pki_dir, within_days=within_days, as_json=as_json)
