"""`ownroot keys ca verify-record`: was this ceremony held, and with this root? No server is needed."""

from pathlib import Path

import click

from ownroot.cli.options import json_option


@click.command(
    "verify-record",
    short_help="Check a ceremony record with the root certificate; no server is needed.",
    epilog="\b\nExample:\n  ownroot keys ca verify-record approval.record.json --root factory_ca.pem\n",
)
@click.argument("source", metavar="RECORD.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--root",
    "root_file",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The factory's root certificate, from a source you trust.",
)
@json_option
def verify_record(source: Path, root_file: Path, as_json: bool) -> None:
    """Check the root's signature over a ceremony record, and everything the record says was made.

    It proves what was signed and who is said to have been there; not that it was ever sent to the server.
    """
    from ownroot.cli.ceremony_record_run import run_verify_record

    run_verify_record(source, root_file, as_json=as_json)
