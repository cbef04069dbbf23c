"""A factory PKI made by hand with the openssl command, as owners with a script of their own have one.

Two habits seen in the field, each complete:

- `P256`: tidy. P-256 keys, critical extensions, a root whose extended key usage is critical, path length 0.
- `P521`: scripted. P-521 keys signed with SHA-256, a root without cRLSign, CA extensions that are not critical, no path
  lengths, a gateway certificate with more usages than it needs, an offline CA that lives 30 days only.

Everything begins at the wall clock's now: openssl knows no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from typing import Final

from tests.support.tools import require_tool

OFFLINE_CA: Final = "offline-ca"


@dataclass(frozen=True, slots=True)
class Habit:
    """How somebody's script writes certificates: the curve, names, lifetimes and extension lines."""

    curve: str
    root_common_name: str
    root_extensions: str
    tls_extensions: str
    ca_extensions: str
    device_extensions: str
    offline_ca_days: int


P256: Final = Habit(
    curve="prime256v1",
    root_common_name="Factory-CA",
    root_extensions=(
        "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n"
        "extendedKeyUsage = critical, clientAuth, serverAuth\nsubjectKeyIdentifier = hash\n"
    ),
    tls_extensions=(
        "keyUsage = critical, digitalSignature\nextendedKeyUsage = critical, serverAuth\n"
        "authorityKeyIdentifier = keyid\nsubjectAltName = {names}\n"
    ),
    ca_extensions=(
        "basicConstraints = critical, CA:TRUE, pathlen:0\nkeyUsage = critical, keyCertSign\n"
        "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
    ),
    device_extensions=(
        "keyUsage = critical, digitalSignature\nextendedKeyUsage = critical, clientAuth\n"
        "authorityKeyIdentifier = keyid\n"
    ),
    offline_ca_days=3650,
)

P521: Final = Habit(
    curve="secp521r1",
    root_common_name="Factory Root CA",
    root_extensions="basicConstraints = CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\n",
    tls_extensions=(
        "keyUsage = digitalSignature, keyEncipherment, keyAgreement\nextendedKeyUsage = serverAuth\n"
        "subjectAltName = {names}\n"
    ),
    ca_extensions="basicConstraints = CA:TRUE\nkeyUsage = keyCertSign\nsubjectKeyIdentifier = hash\n",
    device_extensions="keyUsage = critical, digitalSignature, keyAgreement\nextendedKeyUsage = critical, clientAuth\n",
    offline_ca_days=30,
)

HABITS: Final[Mapping[str, Habit]] = {"P-256": P256, "P-521": P521}


@dataclass(frozen=True, slots=True)
class OpensslPki:
    """A directory with `root.key`, `root.pem`, `offline-ca.key`, `offline-ca.pem`, and what is signed later."""

    directory: Path
    factory: str
    habit: Habit

    @property
    def root_pem(self) -> str:
        """Return the factory root."""
        return self.read("root.pem")

    @property
    def offline_ca_pem(self) -> str:
        """Return the local device CA, whose key is in `offline-ca.key`."""
        return self.read(f"{OFFLINE_CA}.pem")

    def read(self, file_name: str) -> str:
        """Return the text of one file."""
        return (self.directory / file_name).read_text()

    def sign_tls(self, csr_pem: str, dns_names: tuple[str, ...]) -> str:
        """Sign the gateway's CSR with the root; its DNS names are written by hand, as such scripts do."""
        names = ", ".join(f"DNS:{name}" for name in dns_names)
        return self._sign(csr_pem, "tls", "root", self.habit.tls_extensions.format(names=names), days=3650)

    def sign_online_ca(self, csr_pem: str) -> str:
        """Sign the backend's CSR for the online device CA with the root."""
        return self._sign(csr_pem, "online-ca", "root", self.habit.ca_extensions, days=3650)

    def make_device(self, uuid: str, *, signer: str = OFFLINE_CA) -> str:
        """Make `<uuid>.key` and `<uuid>.pem` of a device under the offline CA, and return the certificate."""
        return self._make(uuid, f"/CN={uuid}/OU={self.factory}", signer, self.habit.device_extensions, days=30)

    def make_offline_ca(self, common_name: str) -> str:
        """Make the local device CA under the root, and return its certificate."""
        subject = f"/CN={common_name}/OU={self.factory}"
        return self._make(OFFLINE_CA, subject, "root", self.habit.ca_extensions, days=self.habit.offline_ca_days)

    def make_root(self) -> str:
        """Make the self-signed root, and return it."""
        self._make_key("root")
        (self.directory / "root.cnf").write_text(
            "[req]\ndistinguished_name = dn\nprompt = no\nx509_extensions = ext\n"
            f"[dn]\nCN = {self.habit.root_common_name}\nOU = {self.factory}\n[ext]\n{self.habit.root_extensions}"
        )
        arguments = "req -x509 -new -sha256 -key root.key -config root.cnf -days 3560 -out root.pem"
        self._openssl(*arguments.split())
        return self.root_pem

    def _make(self, name: str, subject: str, signer: str, extensions: str, *, days: int) -> str:
        self._make_key(name)
        self._openssl("req", "-new", "-sha256", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        return self._sign(self.read(f"{name}.csr"), name, signer, extensions, days=days)

    def _make_key(self, name: str) -> None:
        self._openssl("ecparam", "-name", self.habit.curve, "-genkey", "-noout", "-out", f"{name}.key")

    def _sign(self, csr_pem: str, name: str, signer: str, extensions: str, *, days: int) -> str:
        (self.directory / f"{name}.csr").write_text(csr_pem)
        (self.directory / f"{name}.cnf").write_text(extensions)
        arguments = f"x509 -req -sha256 -CAcreateserial -days {days} -in {name}.csr -out {name}.pem -extfile {name}.cnf"
        self._openssl(*arguments.split(), "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key")
        return self.read(f"{name}.pem")

    def _openssl(self, *arguments: str) -> None:
        program = require_tool("openssl")
        run([program, *arguments], cwd=self.directory, check=True, capture_output=True, timeout=60)


def make_openssl_pki(
    directory: Path, factory: str, *, habit: Habit = P256, local_ca_common_name: str = "fio-Fleet-offline-CA"
) -> OpensslPki:
    """Make the root and one offline device CA in an existing, empty directory."""
    pki = OpensslPki(directory, factory, habit)
    pki.make_root()
    pki.make_offline_ca(local_ca_common_name)
    return pki
