"""The terminal side of `trust export`: fetch what the factory trusts, check it against the pinned root, write files."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from ownroot.cli.options import Target
from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory, read_text
from ownroot.cli.trust_files import Format, TrustedCa, trust_files
from ownroot.client.api import Api, CertsAnswer
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError, KeyStoreError, NotFoundError, RefusedError
from ownroot.keystore.durable import replace_file
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import certificate_sha256, parse_certificate, parse_certificates
from ownroot.pki.serials import serial_text

# Public material, read by the user a front runs as.
_MODE = 0o644


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


def export_trust(
    target: Target, *, root: Path | None, pki_dir: Path | None, form: Format, directory: Path | None, as_json: bool
) -> None:
    """Print the only file of a format, or write all of them to a directory."""
    pin, output = read_pin(root, pki_dir), Output(as_json=as_json)
    access = target.access()
    with Api(access) as api:
        cas = verified_cas(api.certs(), pin, utc_now())
    files = trust_files(cas, form)
    if directory is None:
        _print(files, form, output)
    else:
        write_files(directory, files)
        for name in files:
            output.line(f"Wrote {directory / name}")
    if as_json:
        output.document(_document(access.factory, pin, cas, files, directory, form))


def write_files(directory: Path, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Write what differs from what is there, each file whole; returns the names written.

    Raises:
        KeyStoreError: `trust-directory-unwritable`; files not reached yet stay as they are.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        changed = [name for name, content in files.items() if _content(directory / name) != content]
        for name in changed:
            replace_file(directory / name, files[name], mode=_MODE)
    except OSError as exc:
        raise KeyStoreError(
            "trust-directory-unwritable", f"{directory} cannot be written: {exc.strerror}. Nothing else was changed."
        ) from exc
    return tuple(changed)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _print(files: Mapping[str, bytes], form: Format, output: Output) -> None:
    if len(files) > 1:
        raise InvalidInputError("directory-missing", f"The format {form} has several files. Name a place: --dir DIR")
    for content in files.values():
        output.line(content.decode().rstrip("\n"))


def _require_of_root(certificate: x509.Certificate, pin: Pin) -> None:
    if not is_signed_by(certificate, pin.root):
        raise RefusedError(
            "device-ca-not-of-root",
            f"The server names a device CA (serial {serial_text(certificate.serial_number)}) that the pinned root did "
            "not sign. Nothing was written; ask the factory's owner and the server's operator.",
        )


def _document(
    factory: str,
    pin: Pin,
    cas: tuple[TrustedCa, ...],
    files: Mapping[str, bytes],
    directory: Path | None,
    form: Format,
) -> dict[str, object]:
    return {
        "factory": factory,
        "format": form.value,
        "root-sha256": certificate_sha256(pin.root).hex(),
        "device-cas": [{"serial": ca.serial, "disabled": ca.disabled} for ca in cas],
        "files": {name: content.decode() for name, content in files.items()}
        if directory is None
        else [str(directory / name) for name in files],
    }
