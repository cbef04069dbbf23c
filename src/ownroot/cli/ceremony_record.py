"""Checking a ceremony record years later: with the root certificate and nothing else."""

from cryptography import x509

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import certificate_sha256, parse_certificate, parse_crl
from ownroot.pki.revocation import CrlCommand, read_crl_command
from ownroot.wire.ceremony import CEREMONY, CeremonyRecord, MadeCertificate, RecordFile, verify_signature


def verify_record(file: RecordFile, root: x509.Certificate) -> CrlCommand | None:
    """Check a record from `CEREMONY.parse`: root, signature, the request it names, and everything made.

    Returns: the signed command among what was made, if there is one. Whether anything was uploaded, no record says.
    Raises:
        RefusedError: `other-root`, `ceremony-signature`.
        InvalidInputError: `ceremony-record-wrong`, naming what does not fit, or why a certificate cannot be read.
    """
    body = file.body
    if certificate_sha256(root).hex() != body.root.sha256:
        raise RefusedError("other-root", "The ceremony was held with another root than the one given.")
    verify_signature(file, root)
    if CEREMONY.digest(body.request) != body.request_sha256:
        raise _wrong("the request in it is not the one it names")
    for made in (body.root, *body.certificates):
        _verify_made(made, root)
    return _verify_crl(body, root)


def _verify_made(made: MadeCertificate, root: x509.Certificate) -> None:
    certificate = parse_certificate(made.pem)
    if certificate_sha256(certificate).hex() != made.sha256:
        raise _wrong(f"the certificate with serial {made.serial} has another digest")
    if certificate != root and not is_signed_by(certificate, root):
        raise _wrong(f"the certificate with serial {made.serial} is not signed by the root")


def _verify_crl(body: CeremonyRecord, root: x509.Certificate) -> CrlCommand | None:
    if body.crl is None:
        return None
    crl = parse_crl(body.crl)
    return read_crl_command(crl, root, crl.last_update_utc)


def _wrong(fault: str) -> InvalidInputError:
    return InvalidInputError("ceremony-record-wrong", f"The record is signed, and yet {fault}.")
