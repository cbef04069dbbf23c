"""CRLs we make, judged by the openssl command."""

from pathlib import Path
from subprocess import run

import pytest

from ownroot.pki.encoding import crl_pem
from ownroot.pki.issuance import Issuer
from ownroot.pki.revocation import CrlEntry, make_crl
from ownroot.pki.serials import Serial
from tests.support.certificates import NOW, Pair, factory_root, make_key
from tests.support.tools import require_tool

WIDEST = (1 << 160) - 1


def openssl_crl(folder: Path, root: Pair, text: str, *options: str) -> tuple[str, str]:
    """Let `openssl crl` verify a CRL against a root; returns what it prints and what it says about the signature."""
    (folder / "root.pem").write_text(root.pem)
    (folder / "command.pem").write_text(text)
    command = [require_tool("openssl"), "crl", "-in", "command.pem", "-CAfile", "root.pem", "-noout", "-verify"]
    done = run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout, done.stderr.strip()


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_openssl_verifies_a_command_over_the_widest_serial(tmp_path: Path, curve: str) -> None:
    root = factory_root(key=make_key(curve))
    made = make_crl(Issuer(root.certificate, root.ec_key), [CrlEntry(Serial(WIDEST), 9)], now=NOW)

    shown, said = openssl_crl(tmp_path, root, crl_pem(made), "-text")
    assert said == "verify OK"
    assert f"Serial Number: {WIDEST:X}" in shown
    assert "Version 2 (0x1)" in shown
    assert "Last Update: Nov 23 12:00:00 2026 GMT" in shown
    assert "Next Update: Nov 23 12:15:00 2026 GMT" in shown
    assert "critical" not in shown


def test_openssl_does_not_verify_it_for_another_root(tmp_path: Path) -> None:
    root, other = factory_root(), factory_root()
    made = make_crl(Issuer(root.certificate, root.ec_key), [CrlEntry(Serial(WIDEST), 9)], now=NOW)

    assert "verify OK" not in openssl_crl(tmp_path, other, crl_pem(made))[1]
