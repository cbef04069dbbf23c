"""Independent judges of what we issue: the openssl command and a certificate linter. Neither shares code with us."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint import loader
from pkilint.pkix import certificate as pkix
from pkilint.pkix import extension, name
from pkilint.validation import ValidationFindingSeverity

from tests.support.tools import require_tool

_LINTER: Final = pkix.create_pkix_certificate_validator_container(
    pkix.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
    [
        pkix.create_issuer_validator_container([]),
        pkix.create_validity_validator_container(),
        pkix.create_subject_validator_container([]),
        pkix.create_extensions_validator_container([]),
        pkix.create_spki_validator_container([]),
    ],
)

_SEVERE: Final = (ValidationFindingSeverity.ERROR, ValidationFindingSeverity.FATAL)


def lint(certificate: x509.Certificate) -> list[str]:
    """Return what the linter's RFC 5280 rules find wrong, errors and worse only, as codes."""
    document = loader.load_pem_certificate(certificate.public_bytes(Encoding.PEM).decode(), "issued")
    return [
        finding.finding.code
        for result in _LINTER.validate(document.root)
        for finding in result.finding_descriptions
        if finding.finding.severity in _SEVERE
    ]


def openssl_verify(
    chain: Sequence[x509.Certificate],
    root: x509.Certificate,
    *,
    purpose: str,
    at: datetime,
    host: str | None = None,
    strict: bool = True,
) -> str:
    """Let `openssl verify -x509_strict` judge a leaf and its intermediates; return "OK" or what it says instead."""
    with TemporaryDirectory() as text:
        directory = Path(text)
        (directory / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
        (directory / "leaf.pem").write_bytes(chain[0].public_bytes(Encoding.PEM))
        (directory / "rest.pem").write_bytes(b"".join(ca.public_bytes(Encoding.PEM) for ca in chain[1:]))
        arguments = [
            "verify",
            *(["-x509_strict"] if strict else []),
            "-purpose",
            purpose,
            "-attime",
            str(int(at.timestamp())),
        ]
        arguments += ["-CAfile", "root.pem", *(["-untrusted", "rest.pem"] if chain[1:] else [])]
        arguments += ["-verify_hostname", host] if host else []
        done = run(
            [require_tool("openssl"), *arguments, "leaf.pem"],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return "OK" if done.returncode == 0 and done.stdout == "leaf.pem: OK\n" else done.stdout + done.stderr
