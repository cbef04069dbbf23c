"""The terminal side of `keys ca verify-record`."""

from pathlib import Path

from ownroot.cli.ceremony_files import read_ceremony_file
from ownroot.cli.ceremony_orders import change_of
from ownroot.cli.ceremony_record import verify_record
from ownroot.cli.ceremony_view import title
from ownroot.cli.pki_directory import read_text
from ownroot.console.output import Output
from ownroot.pki.encoding import parse_certificate
from ownroot.pki.revocation import Verdict
from ownroot.pki.serials import serial_text
from ownroot.wire.ceremony import CEREMONY, RecordFile

_WORDS = {Verdict.REVOKE: "revoke", Verdict.DISABLE: "disable", Verdict.RENEW: "enable"}


def run_verify_record(source: Path, root_file: Path, *, as_json: bool) -> None:
    """Check a record and tell what it says."""
    file, output = read_ceremony_file(source, CEREMONY, RecordFile), Output(as_json=as_json)
    command = verify_record(file, parse_certificate(read_text(root_file) or ""))
    body = file.body
    verdicts = [(serial_text(entry.serial), _WORDS[entry.verdict]) for entry in command.entries] if command else []
    if as_json:
        output.document(
            {
                "factory": body.request.factory,
                "change": body.request.change,
                "approved-at": body.approved_at,
                "operators": body.operators,
                "requested-by": body.request.requested_by,
                "request-sha256": body.request_sha256,
                "approval-sha256": body.approval_sha256,
                "certificates": [made.sha256 for made in body.certificates],
                "verdicts": [{"serial": serial, "verdict": verdict} for serial, verdict in verdicts],
                "versions": body.versions,
            }
        )
    output.line(f"The record is true: signed by the root with serial {body.root.serial}.")
    output.line(f"  factory    {body.request.factory}: {title(change_of(body.request.change))}")
    output.line(f"  asked      {body.request.requested_at:%Y-%m-%d %H:%M:%S} UTC by {body.request.requested_by}")
    output.line(f"  approved   {body.approved_at:%Y-%m-%d %H:%M:%S} UTC by {', '.join(body.operators)}")
    output.line(f"  root key   {body.root_key}")
    for made in body.certificates:
        output.line(f"  made       {made.subject}, serial {made.serial}, until {made.not_after:%Y-%m-%d}")
    for serial, verdict in verdicts:
        output.line(f"  verdict    {verdict} the device CA with serial {serial}")
    output.line(f"  programs   {', '.join(f'{name} {version}' for name, version in sorted(body.versions.items()))}")
