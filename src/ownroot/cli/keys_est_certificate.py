"""The terminal side of `keys est authorize` and `keys est show`."""

from datetime import timedelta
from pathlib import Path

from ownroot.cli.change_run import ChangeRun
from ownroot.cli.hsm import HsmKeys
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import PkiDirectory
from ownroot.cli.pki_view import Entry, view_pki
from ownroot.cli.root_key import open_root
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import NotFoundError
from ownroot.pki.encoding import certificate_pem, certificate_sha256
from ownroot.pki.serials import serial_text
from ownroot.pki.traits import Traits


def authorize_est(target: Target, directory: Path, *, hsm: HsmKeys | None, backdate: timedelta, as_json: bool) -> None:
    """Certify the key and print the certificate."""
    access, output = target.access(), Output(as_json=as_json)
    pki = PkiDirectory(directory, hsm, backdate=backdate)
    with Api(access) as api:
        run = ChangeRun(api, pki, open_root=lambda: open_root(pki), now=utc_now(), say=output.note)
        certificate = run.authorize_est()
    names = Traits.of(certificate).dns_names
    if as_json:
        output.document(
            {
                "factory": access.factory,
                "certificate": certificate_pem(certificate),
                "serial": serial_text(certificate.serial_number),
                "sha256": certificate_sha256(certificate).hex(),
                "not-after": certificate.not_valid_after_utc.isoformat(),
                "dns-names": names,
            }
        )
    output.line(certificate_pem(certificate).rstrip("\n"))
    output.note(f"The server answers EST requests for {', '.join(names)} with this certificate.")


def show_est(target: Target, *, pretty: bool, as_json: bool) -> None:
    """Fetch and show.

    Raises:
        NotFoundError: `pki-not-set-up`, `est-not-authorized`.
    """
    access = target.access()
    with Api(access) as api:
        answer = api.certs()
    if not answer.is_taken_over:
        raise NotFoundError("pki-not-set-up", f"Factory {access.factory} has no PKI of its own yet.")
    entry = view_pki(answer, utc_now()).est_tls
    if entry is None:
        raise NotFoundError("est-not-authorized", "EST server is not configured: it has no certificate.")
    output = Output(as_json=as_json)
    if as_json:
        output.document(entry.document())
    elif pretty:
        for line in _lines(entry):
            output.line(line)
    else:
        output.line(certificate_pem(entry.certificate).rstrip("\n"))


def _lines(entry: Entry) -> tuple[str, ...]:
    certificate = entry.certificate
    return (
        f"EST TLS certificate  {entry.standing}",
        f"subject   {certificate.subject.rfc4514_string()}",
        f"for       {', '.join(entry.dns_names)}",
        f"serial    {entry.serial}",
        f"valid     {certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}",
        f"key with  {entry.holder}",
    )
