"""The terminal side of `keys ca sign`: local, without a server or a login."""

import sys
from datetime import timedelta
from pathlib import Path

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.owner_pki import sign_request
from ownroot.cli.pki_directory import PkiDirectory, read_text
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.pki.encoding import certificate_pem
from ownroot.pki.serials import serial_text


def sign_csr(pki_dir: Path, csr: Path, hsm: HsmKeys | None, *, backdate: timedelta, as_json: bool) -> None:
    """Print the certificate for a CSR file."""
    text = sys.stdin.read() if str(csr) == "-" else read_text(csr)
    certificate = sign_request(PkiDirectory(pki_dir, hsm, backdate=backdate), text or "", now=utc_now())
    output = Output(as_json=as_json)
    if as_json:
        serial = serial_text(certificate.serial_number)
        not_after = certificate.not_valid_after_utc.isoformat()
        output.document({"certificate": certificate_pem(certificate), "serial": serial, "not-after": not_after})
    else:
        output.line(certificate_pem(certificate).rstrip("\n"))
