"""What a server says about a factory's device CAs, checked against a root that the caller has from its owner."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from ownroot.cli.options import Target
from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory, read_text
from ownroot.cli.trust_files import Format, TrustedCa, trust_files
from ownroot.client.access import ApiAccess
from ownroot.client.api import Api, CertsAnswer
from ownroot.clock import utc_now
from ownroot.errors import InvalidInputError, NotFoundError, RefusedError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import certificate_sha256, parse_certificate, parse_certificates
from ownroot.pki.serials import serial_text


@dataclass(frozen=True, slots=True)
class Pin:
    """The factory root that the caller trusts, from their own disk and never from a server."""

    root: x509.Certificate


def read_pin(root: Path | None, pki_dir: Path | None) -> Pin:
    """Read the pinned root.

    Raises:
        InvalidInputError: `root-not-pinned`: neither was named; or the file is no certificate.
        NotFoundError: `root-missing`, `pki-directory-incomplete`.
    """
    if root is None and pki_dir is None:
        raise InvalidInputError(
            "root-not-pinned",
            "Name the factory root to check against: --root root.crt (from the owner), or --pki-dir on the owner's own "
            "machine. What the server says about its root proves nothing.",
        )
    if root is None:
        return Pin(PkiDirectory(pki_dir or Path()).certificate(ROOT_FILE))
    text = read_text(root)
    if text is None:
        raise NotFoundError("root-missing", f"There is no file {root}. Get the factory root from its owner.")
    return Pin(parse_certificate(text))


def verified_cas(answer: CertsAnswer, pin: Pin, now: datetime) -> tuple[TrustedCa, ...]:
    """Return the device CAs of an answer, each signed by the pinned root; all of them or an error.

    A CA past its end is left out, since it vouches for nobody.

    Raises:
        NotFoundError: `pki-not-set-up`: the factory lives on the shared PKI, which no owner can pin; `no-device-cas`.
        RefusedError: `root-other`, `device-ca-not-of-root`; nothing may be exported.
    """
    if not answer.is_taken_over or answer.certs.root_crt is None:
        raise NotFoundError("pki-not-set-up", "The factory runs on the shared PKI. First: ownroot keys ca create DIR")
    if certificate_sha256(parse_certificate(answer.certs.root_crt)) != certificate_sha256(pin.root):
        raise RefusedError(
            "root-other",
            "The server names another factory root than the pinned one. Is this the right factory and server? "
            "If so, ask its owner before you trust anything.",
        )
    certificates = parse_certificates(answer.certs.ca_crt) if answer.certs.ca_crt else ()
    for certificate in certificates:
        _require_of_root(certificate, pin)
    disabled = frozenset(answer.certs.disabled_ca_serials)
    cas = tuple(
        TrustedCa(certificate, serial_text(certificate.serial_number) in disabled)
        for certificate in certificates
        if now <= certificate.not_valid_after_utc
    )
    if not cas:
        raise NotFoundError("no-device-cas", "The factory trusts no device CA that is valid now; nothing was written.")
    return cas


@dataclass(frozen=True, slots=True)
class TrustSource:
    """Where the files of one format come from."""

    target: Target
    pin: Pin
    form: Format

    def access(self) -> ApiAccess:
        """Return what a request needs. It may renew a login and write that down, so it is not to be cut short."""
        return self.target.access()

    def ask(self, access: ApiAccess) -> tuple[TrustedCa, ...]:
        """Ask the server; raises as `verified_cas`, and what the way there raises."""
        with Api(access) as api:
            return verified_cas(api.certs(), self.pin, utc_now())

    def files(self, cas: tuple[TrustedCa, ...]) -> Mapping[str, bytes]:
        """Return what is to be written for them."""
        return trust_files(cas, self.form)


def _require_of_root(certificate: x509.Certificate, pin: Pin) -> None:
    if not is_signed_by(certificate, pin.root):
        raise RefusedError(
            "device-ca-not-of-root",
            f"The server names a device CA (serial {serial_text(certificate.serial_number)}) that the pinned root did "
            "not sign. Nothing was written; ask the factory's owner and the server's operator.",
        )
