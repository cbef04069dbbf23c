"""What the openssl command says of certificates and CRLs."""

import re
import subprocess
from pathlib import Path

from tests.support.tools import require_tool


def openssl(*arguments: str | Path, stdin: str = "") -> str:
    """Run openssl and return what it printed; fails the test if it failed."""
    done = run_openssl(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_openssl(*arguments: str | Path, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run openssl, whatever comes of it."""
    command = [require_tool("openssl"), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def decimal_serial(certificate: Path) -> str:
    """Return a certificate's serial as our commands write it."""
    return str(int(openssl("x509", "-in", certificate, "-noout", "-serial").strip().partition("=")[2], 16))


def is_issued_by(certificate: Path, root: Path, *, purpose: str = "any", strict: bool = True) -> bool:
    """Say whether openssl accepts a certificate under a root.

    Args:
        strict: by the rules of RFC 5280, which roots made by scripts often break themselves.
    """
    rules = ("-x509_strict",) if strict else ()
    return run_openssl("verify", *rules, "-purpose", purpose, "-CAfile", root, certificate).returncode == 0


def crl_serials(crl: str, root: Path) -> dict[str, str]:
    """Return decimal serials and their reasons, if openssl verifies the CRL with the root's key."""
    openssl("crl", "-CAfile", root, "-noout", "-verify", stdin=crl)
    text = openssl("crl", "-noout", "-text", stdin=crl)
    entries = re.findall(r"Serial Number: ([0-9A-F]+).*?Reason Code: \n\s+([A-Za-z ]+)\n", text, re.DOTALL)
    return {str(int(serial, 16)): reason for serial, reason in entries}
