"""A manufacturing site and its adversaries: identities made without the backend, for the demonstration.

The site holds a local device CA of the owner's and signs without any network. A stranger builds a CA with the very
same names, and a thief makes a second device with a known device's name.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ownroot.device.files import CERTIFICATE_FILE, KEY_FILE, ROOT_FILE, SETTINGS_FILE, prepare_directory, write_private
from ownroot.device.keys import find_or_create_key
from ownroot.errors import NotFoundError
from ownroot.keystore.file import FileKeyStore
from ownroot.pki.encoding import certificate_pem, parse_certificate
from ownroot.pki.issuance import Issuer, plan_device, plan_device_ca, plan_factory_root, sign_plan
from ownroot.pki.names import device_subject, local_ca_subject
from ownroot.pki.requests import device_csr, make_csr
from ownroot.pki.serials import new_serial
from ownroot.pki.signer import generate_key


@dataclass(frozen=True, slots=True)
class Site:
    """Who signs here, for which factory, and where its devices will find their gateway (base URL)."""

    ca: Issuer
    root_pem: str
    factory: str
    gateway_url: str

    def make_device(self, directory: Path, uuid: str, *, now: datetime) -> None:
        """Make a device with a key of its own and write the files the device program reads."""
        prepare_directory(directory)
        key, _ = find_or_create_key(directory)
        csr = device_csr(make_csr(key, device_subject(self.factory, uuid)))
        certificate = sign_plan(plan_device(csr, self.ca.terms, now=now, serial=new_serial()), self.ca.key)
        write_private(directory / ROOT_FILE, self.root_pem)
        write_private(directory / SETTINGS_FILE, self._settings(directory))
        write_private(directory / CERTIFICATE_FILE, certificate_pem(certificate))

    def _settings(self, directory: Path) -> str:
        return (
            f'[tls]\nserver = "{self.gateway_url}"\npkey_source = "file"\n\n'
            f'[import]\ntls_cacert_path = "{directory / ROOT_FILE}"\n'
            f'tls_pkey_path = "{directory / KEY_FILE}"\ntls_clientcert_path = "{directory / CERTIFICATE_FILE}"\n'
        )


def open_site(pki_directory: Path, *, factory: str, gateway_url: str) -> Site:
    """Open the local device CA of a PKI directory.

    Raises:
        NotFoundError: `local-ca-missing`.
    """
    key = FileKeyStore(pki_directory).find("local-ca")
    if key is None:
        raise NotFoundError("local-ca-missing", f"There is no local-ca.key in {pki_directory}.")
    certificate = parse_certificate((pki_directory / "local-ca.pem").read_text(encoding="ascii"))
    root_pem = (pki_directory / "factory_ca.pem").read_text(encoding="ascii")
    return Site(Issuer(certificate, key), root_pem, factory, gateway_url)


def forge_site(real: Site, *, polis_id: str, now: datetime) -> Site:
    """Make a CA with the same names as the real one, under a root of the stranger's own."""
    root_key, ca_key = generate_key(), generate_key()
    root = sign_plan(plan_factory_root(real.factory, root_key.public_key(), now=now, serial=new_serial()), root_key)
    subject = local_ca_subject(real.factory, polis_id)
    ca = sign_plan(plan_device_ca(subject, ca_key.public_key(), root, now=now, serial=new_serial()), root_key)
    return Site(Issuer(ca, ca_key), real.root_pem, real.factory, real.gateway_url)
