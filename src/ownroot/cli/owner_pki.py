"""Making and checking the certificates of an owner's PKI directory; no server is involved.

Every step looks at what is on disk first, so that a run that was cut anywhere is continued by the next one: keys are
never made twice, certificates only when one is missing or of no use any more.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ownroot.cli.pki_directory import (
    CERTIFICATE_SUFFIX,
    ONLINE_CA_FILE,
    ROOT_FILE,
    ROOT_KEY_LABEL,
    TLS_FILE,
    PkiDirectory,
)
from ownroot.cli.root_key import open_root
from ownroot.cli.signing import sign_local_ca, sign_online_ca, sign_tls
from ownroot.errors import ConflictError, NotFoundError
from ownroot.pki import names
from ownroot.pki.chains import is_signed_by
from ownroot.pki.conformance import check_device_ca, check_factory_root
from ownroot.pki.encoding import parse_csr
from ownroot.pki.issuance import (
    Issuer,
    plan_factory_root,
    plan_requested,
    sign_plan,
)
from ownroot.pki.requests import VerifiedCsr, verify_csr
from ownroot.pki.serials import new_serial
from ownroot.pki.traits import Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCaWish:
    """A local device CA to make: its certificate's file and the user named in its subject."""

    file: str
    polis_id: str


@dataclass(frozen=True, slots=True)
class OwnerPki:
    """The root and what it has signed, all checked to belong together. None: not there."""

    root: x509.Certificate | None
    tls: x509.Certificate | None
    online_ca: x509.Certificate | None
    local_ca: x509.Certificate | None


class OwnerPkiMaker:
    """Makes the PKI of one factory in one directory.

    Args:
        factory: OU of everything made here.
        now: the one moment of this run; all its certificates begin the directory's margin before it.
    """

    def __init__(self, directory: PkiDirectory, factory: str, *, now: datetime) -> None:
        self._directory = directory
        self._factory = factory
        self._now = now

    def read(self, local_ca_file: str) -> OwnerPki:
        """Read what an earlier run left and check that keys and certificates belong together.

        Raises:
            ConflictError: `pki-directory-mixed`, `pki-directory-other-factory`; nothing was touched.
            NotFoundError: `pki-directory-incomplete`, a certificate stands there without its key.
            KeyStoreError: `key-exists`: a key on the token belongs to no certificate here; or a key cannot be read.
            InvalidInputError: a file cannot be read for what it should be.
        """
        root = self._read_root()
        found = {name: self._directory.find_certificate(name) for name in (TLS_FILE, ONLINE_CA_FILE, local_ca_file)}
        for name, certificate in found.items():
            if certificate is not None and (root is None or not is_signed_by(certificate, root)):
                raise self._mixed(f"{name} is not signed by {ROOT_FILE}")
        local_ca = found[local_ca_file]
        self._check_pair(local_ca_file, local_ca, root)
        return OwnerPki(root, found[TLS_FILE], found[ONLINE_CA_FILE], local_ca)

    def ensure_root(self) -> Issuer:
        """Return the root, making what is missing: first the key, then the certificate."""
        key = self._directory.find_root_key() or self._directory.create_root_key()
        certificate = self._directory.find_certificate(ROOT_FILE)
        if certificate is None:
            plan = plan_factory_root(
                self._factory, key.public_key(), now=self._now, serial=new_serial(), backdate=self._directory.backdate
            )
            certificate = sign_plan(plan, key)
            self._directory.write_certificate(ROOT_FILE, certificate)
        return Issuer(certificate, key, self._directory.backdate)

    def ensure_local_ca(self, root: Issuer, wish: LocalCaWish) -> x509.Certificate:
        """Return the local device CA, making what is missing."""
        certificate = self._directory.find_certificate(wish.file)
        if certificate is not None:
            return certificate
        key = self._directory.find_local_ca_key(wish.file) or self._directory.create_local_ca_key(wish.file)
        certificate = sign_local_ca(root, key.public_key(), wish.polis_id, now=self._now)
        self._directory.write_certificate(wish.file, certificate)
        return certificate

    def sign_tls(self, root: Issuer, csr: VerifiedCsr) -> x509.Certificate:
        """Sign the gateway's TLS certificate and put it in place of one that never came into service."""
        certificate = sign_tls(root, csr, now=self._now)
        self._directory.replace_certificate(TLS_FILE, certificate)
        return certificate

    def sign_online_ca(self, root: Issuer, csr: VerifiedCsr) -> x509.Certificate:
        """Sign the backend's device CA and put it in place of one that never came into service."""
        certificate = sign_online_ca(root, csr, now=self._now)
        self._directory.replace_certificate(ONLINE_CA_FILE, certificate)
        return certificate

    def _read_root(self) -> x509.Certificate | None:
        certificate = self._directory.find_certificate(ROOT_FILE)
        if certificate is None:
            if self._directory.hsm is not None and self._directory.find_key(ROOT_KEY_LABEL) is not None:
                raise self._mixed("factory_ca.key stands there already, and the root is to be made on a token")
            self._directory.refuse_root_key_of_another()
            return None
        key = self._directory.root_key()
        if key.public_key() != certificate.public_key():
            raise self._mixed(f"{self._directory.root_key_name} is not the key of {ROOT_FILE}")
        if names.read_subject(certificate.subject).organizational_units != (self._factory,):
            raise ConflictError(
                "pki-directory-other-factory",
                f"The root in {self._directory.path} is not one of factory {self._factory}.",
            )
        check_factory_root(certificate, self._factory, self._now)
        return certificate

    def _check_pair(self, file: str, certificate: x509.Certificate | None, root: x509.Certificate | None) -> None:
        directory = self._directory
        if certificate is None:
            directory.refuse_local_ca_key_of_another(file)
        if certificate is None or root is None:
            return
        key = directory.find_local_ca_key(file)
        if key is None:
            raise NotFoundError("pki-directory-incomplete", f"{file} stands in {self._directory.path} without its key.")
        if key.public_key() != certificate.public_key():
            raise self._mixed(f"{directory.local_ca_key_name(file)} is not the key of {file}")
        check_device_ca(certificate, root, self._factory, self._now)

    def _mixed(self, fault: str) -> ConflictError:
        return ConflictError("pki-directory-mixed", f"In {self._directory.path}, {fault}.")


def sign_request(directory: PkiDirectory, csr_text: str, *, now: datetime) -> x509.Certificate:
    """Sign a CSR of the owner's own with the root of a directory (`keys ca sign`).

    Raises:
        NotFoundError: `pki-directory-incomplete`.
        OwnrootError: the CSR, the key or the root are not usable.
    """
    csr = verify_csr(parse_csr(csr_text))
    root = open_root(directory)
    plan = plan_requested(csr, root.certificate, now=now, serial=new_serial(), backdate=root.backdate)
    return sign_plan(plan, root.key)


def device_cas_of(directory: PkiDirectory) -> tuple[x509.Certificate, ...]:
    """Return every device CA in the directory: CA certificates that its root has signed, the root left out.

    Raises:
        OwnrootError: a certificate file cannot be read; none is left out in silence.
    """
    root = directory.certificate(ROOT_FILE)
    files = [name for name in directory.files() if name == ONLINE_CA_FILE or name.endswith(CERTIFICATE_SUFFIX)]
    certificates = [directory.certificate(name) for name in files]
    return tuple(ca for ca in certificates if ca != root and Traits.of(ca).is_ca and is_signed_by(ca, root))
