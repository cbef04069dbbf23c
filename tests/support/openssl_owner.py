"""An owner who holds their PKI with the openssl command alone: no line of ours takes part in what it signs.

Two habits seen in the field, each complete:

- `P256`: tidy. P-256 keys, critical extensions, a root whose extended key usage is critical, path length 0.
- `P521`: scripted. P-521 keys signed with SHA-256, a root without cRLSign, CA extensions that are not critical, no path
  lengths, a gateway certificate with more usages than it needs, a local CA that lives 30 days only.

Everything begins at the wall clock's now: openssl knows no other.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.tools import require_tool


@dataclass(frozen=True, slots=True)
class Habit:
    """How somebody's script writes certificates: the curve, names, lifetimes and extension lines."""

    curve: str
    root_common_name: str
    root_extensions: str
    tls_extensions: str
    ca_extensions: str
    device_extensions: str
    local_ca_days: int


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
    local_ca_days=3650,
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
    local_ca_days=30,
)

HABITS: Final[Mapping[str, Habit]] = {"P-256": P256, "P-521": P521}


@dataclass
class OpensslOwner:
    """Holds a root in `folder`, and what is signed later; `curve` may differ from that of the habit."""

    folder: Path
    factory: str
    curve: str = P256.curve
    habit: Habit = P521
    openssl: str = field(default_factory=lambda: require_tool("openssl"))

    def make_root(self, *, common_name: str = "", name: str = "root") -> str:
        """Make a root and return its certificate."""
        self._make_key(name)
        self._write("root.cnf", f"[req]\ndistinguished_name = dn\n[dn]\n[ext]\n{self.habit.root_extensions}")
        subject = f"/CN={common_name or self.habit.root_common_name}/OU={self.factory}"
        arguments = ["-new", "-x509", "-key", f"{name}.key", "-subj", subject, "-days", "3560", "-sha256"]
        self._run("req", *arguments, "-config", "root.cnf", "-extensions", "ext", "-out", f"{name}.pem")
        return self.read(f"{name}.pem")

    def sign_tls(self, csr: str, *, root: str = "root", dns_names: Sequence[str] = ()) -> str:
        """Sign a TLS CSR for these DNS names, else for those it asks for."""
        self._write("tls.csr", csr)
        text = self._run("req", "-in", "tls.csr", "-noout", "-text", "-verify")
        names = [f"DNS:{name}" for name in dns_names] or re.findall(r"DNS:[^,\s]+", text)
        return self._sign("tls.csr", self.habit.tls_extensions.format(names=",".join(names)), root=root, days=3650)

    def sign_ca(self, csr: str, *, root: str = "root") -> str:
        """Sign the CSR of a device CA."""
        self._write("ca.csr", csr)
        return self._sign("ca.csr", self.habit.ca_extensions, root=root, days=3650)

    def make_local_ca(self, common_name: str, *, name: str = "local-ca", root: str = "root") -> str:
        """Make a device CA of the owner's own and return its certificate."""
        self._make_key(name)
        self._request(name, f"/CN={common_name}/OU={self.factory}")
        certificate = self._sign(f"{name}.csr", self.habit.ca_extensions, root=root, days=self.habit.local_ca_days)
        self._write(f"{name}.pem", certificate)
        return certificate

    def make_server(self, name: str, dns_name: str, *, root: str = "root") -> None:
        """Make `name.key` and `name.pem` for a TLS server of the owner's own."""
        self._make_key(name)
        self._request(name, f"/CN={dns_name}/OU={self.factory}")
        extensions = self.habit.tls_extensions.format(names=f"DNS:{dns_name}")
        self._write(f"{name}.pem", self._sign(f"{name}.csr", extensions, root=root, days=30))

    def make_device(self, uuid: str, *, ca: str = "local-ca", factory: str = "") -> tuple[Path, Path]:
        """Make a device's key and certificate under a local CA; returns where they lie."""
        self._make_key(uuid)
        self._request(uuid, f"/CN={uuid}/OU={factory or self.factory}")
        self._write(f"{uuid}.pem", self._sign(f"{uuid}.csr", self.habit.device_extensions, root=ca, days=30))
        return self.folder / f"{uuid}.key", self.folder / f"{uuid}.pem"

    def read(self, file_name: str) -> str:
        """Return the text of one file."""
        return (self.folder / file_name).read_text()

    def _make_key(self, name: str) -> None:
        self._run("ecparam", "-name", self.curve, "-genkey", "-noout", "-out", f"{name}.key")

    def _request(self, name: str, subject: str) -> None:
        self._run("req", "-new", "-key", f"{name}.key", "-subj", subject, "-sha256", "-out", f"{name}.csr")

    def _sign(self, request: str, extensions: str, *, root: str, days: int) -> str:
        self._write("extensions", extensions)
        signing = ["-CA", f"{root}.pem", "-CAkey", f"{root}.key", "-extfile", "extensions", "-days", str(days)]
        return self._run("x509", "-req", "-in", request, *signing, "-sha256")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([self.openssl, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


def make_openssl_pki(folder: Path, factory: str, habit: Habit) -> OpensslOwner:
    """Make an owner of this habit with a root and a local device CA, in an existing, empty directory."""
    owner = OpensslOwner(folder, factory, habit.curve, habit)
    owner.make_root()
    owner.make_local_ca("fio-Fleet-offline-CA")
    return owner
