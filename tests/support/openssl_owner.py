"""An owner who holds their PKI with the openssl command alone: no line of ours takes part in what it signs."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.tools import require_tool

_ROOT_EXTENSIONS = "keyUsage = critical, keyCertSign\nbasicConstraints = critical, CA:TRUE\n"
_TLS_EXTENSIONS = (
    "keyUsage = digitalSignature, keyEncipherment, keyAgreement\n"
    "extendedKeyUsage = serverAuth\n"
    "subjectAltName = {names}\n"
)
# As scripts in the field write them: nothing critical, no path length.
_CA_EXTENSIONS = "keyUsage = keyCertSign\nbasicConstraints = CA:TRUE\n"
_DEVICE_EXTENSIONS = "keyUsage = critical, digitalSignature, keyAgreement\nextendedKeyUsage = critical, clientAuth\n"


@dataclass
class OpensslOwner:
    """Holds a root of the given curve in `folder`."""

    folder: Path
    factory: str
    curve: str = "prime256v1"
    openssl: str = field(default_factory=lambda: require_tool("openssl"))

    def make_root(self, *, common_name: str = "Factory Root CA", name: str = "root") -> str:
        """Make a root and return its certificate."""
        self._make_key(name)
        self._write("root.cnf", f"[req]\ndistinguished_name = dn\n[dn]\n[ext]\n{_ROOT_EXTENSIONS}")
        subject = f"/CN={common_name}/OU={self.factory}"
        arguments = ["-new", "-x509", "-key", f"{name}.key", "-subj", subject, "-days", "3560", "-sha256"]
        self._run("req", *arguments, "-config", "root.cnf", "-extensions", "ext", "-out", f"{name}.pem")
        return self._read(f"{name}.pem")

    def sign_tls(self, csr: str, *, root: str = "root") -> str:
        """Sign a TLS CSR for the DNS names it asks for."""
        self._write("tls.csr", csr)
        text = self._run("req", "-in", "tls.csr", "-noout", "-text", "-verify")
        names = re.findall(r"DNS:[^,\s]+", text)
        return self._sign("tls.csr", _TLS_EXTENSIONS.format(names=",".join(names)), root=root, days=3650)

    def sign_ca(self, csr: str, *, root: str = "root") -> str:
        """Sign the CSR of a device CA."""
        self._write("ca.csr", csr)
        return self._sign("ca.csr", _CA_EXTENSIONS, root=root, days=3650)

    def make_local_ca(self, common_name: str, *, name: str = "local-ca", root: str = "root") -> str:
        """Make a device CA of the owner's own and return its certificate."""
        self._make_key(name)
        self._request(name, f"/CN={common_name}/OU={self.factory}")
        certificate = self._sign(f"{name}.csr", _CA_EXTENSIONS, root=root, days=30)
        self._write(f"{name}.pem", certificate)
        return certificate

    def make_server(self, name: str, dns_name: str, *, root: str = "root") -> None:
        """Make `name.key` and `name.pem` for a TLS server of the owner's own."""
        self._make_key(name)
        self._request(name, f"/CN={dns_name}/OU={self.factory}")
        extensions = _TLS_EXTENSIONS.format(names=f"DNS:{dns_name}")
        self._write(f"{name}.pem", self._sign(f"{name}.csr", extensions, root=root, days=30))

    def make_device(self, uuid: str, *, ca: str = "local-ca", factory: str = "") -> tuple[Path, Path]:
        """Make a device's key and certificate under a local CA; returns where they lie."""
        self._make_key(uuid)
        self._request(uuid, f"/CN={uuid}/OU={factory or self.factory}")
        self._write(f"{uuid}.pem", self._sign(f"{uuid}.csr", _DEVICE_EXTENSIONS, root=ca, days=30))
        return self.folder / f"{uuid}.key", self.folder / f"{uuid}.pem"

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

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text()
