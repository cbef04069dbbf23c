"""The terminal side of `keys ca request`."""

from collections.abc import Sequence
from pathlib import Path

from ownroot.cli.ceremony_files import require_new_file, write_ceremony_file
from ownroot.cli.ceremony_request import Draft, make_request
from ownroot.cli.ceremony_view import digest_groups
from ownroot.cli.options import Target
from ownroot.cli.pki_changes import JudgeDeviceCas
from ownroot.cli.pki_directory import read_text
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import parse_certificate
from ownroot.pki.revocation import Verdict
from ownroot.pki.serials import Serial, parse_serial
from ownroot.wire.ceremony import request_file


def run_request(target: Target, out: Path, draft: Draft, *, as_json: bool) -> None:
    """Ask the server, write the file, and say what to do with it."""
    access, output = target.access(), Output(as_json=as_json)
    require_new_file(out)
    with Api(access) as api:
        file = request_file(make_request(api, access, draft, now=utc_now()))
    write_ceremony_file(out, file)
    if as_json:
        output.document(
            {
                "file": str(out.absolute()),
                "factory": access.factory,
                "sha256": file.sha256,
                "state-sha256": file.body.state_sha256,
                "expires-at": file.body.expires_at,
            }
        )
    output.line(
        f"The request for factory {access.factory} is in {out}. Its digest, to be compared where it is approved:"
    )
    output.line(f"  {digest_groups(file.sha256)}")
    if file.body.expires_at is not None:
        output.line(f"The server keeps its new keys until {file.body.expires_at:%Y-%m-%d %H:%M} UTC.")
    output.line("Next, on the machine with the root:")
    output.line(f"  ownroot keys ca approve {out.name} approval.json --pki-dir DIR --operator NAME")


def read_judgement(verdict: Verdict, files: Sequence[Path], serials: Sequence[str]) -> JudgeDeviceCas:
    """Find out which device CAs are meant.

    Raises:
        InvalidInputError: `no-device-ca-named`, `serial-malformed`, or why a file is no certificate.
    """
    certificates = tuple(parse_certificate(read_text(path) or "") for path in files)
    named = [Serial(certificate.serial_number) for certificate in certificates] + [*map(parse_serial, serials)]
    if not named:
        raise InvalidInputError("no-device-ca-named", "Name the device CAs with --ca-file or --ca-serial.")
    returning = certificates if verdict is Verdict.RENEW else ()
    return JudgeDeviceCas(verdict=verdict, serials=tuple(dict.fromkeys(named)), returning=returning)
