"""A registered device with its key on a token that renews, seen with another program's eyes (OpenSC)."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from ownroot.keystore.labels import DEVICE_HSM_LABEL
from ownroot.pki.ecies import encrypt
from tests.support.device_program import DeviceProgram
from tests.support.identity_on_token import objects
from tests.support.renewing import SECRET, Renewing, spki
from tests.support.softhsm import SoftHsm
from tests.support.world import RunningServer

PLACES = [("01", "03"), ("07", "09")]


@dataclass(frozen=True, slots=True)
class RenewingOnToken(Renewing):
    """One device with a key on a token."""

    @property
    def hsm(self) -> SoftHsm:
        assert self.program.hsm is not None
        return self.program.hsm

    @property
    def settings(self) -> Any:
        """The section of `sota.toml` that leads to the token."""
        return tomllib.loads((self.program.directory / "sota.toml").read_text())["p11"]

    @property
    def places(self) -> tuple[str, str]:
        """The ids of key and certificate that `sota.toml` names."""
        return self.settings["tls_pkey_id"], self.settings["tls_clientcert_id"]

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The key in use, read from the token."""
        key = load_der_public_key(self._read("pubkey", self.places[0]))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key

    @property
    def on_token(self) -> x509.Certificate:
        """The certificate in use, read from the token."""
        return x509.load_der_x509_certificate(self._read("cert", self.places[1]))

    def push_secret(self, text: str = SECRET) -> None:
        self.push({"name": "secret", "value": encrypt(text.encode(), self.public_key), "unencrypted": False})

    @property
    def stored_secret(self) -> str:
        """The value that the server keeps, fetched anew and read on the token."""
        for kept in (self.program.directory / "config.encrypted", self.place / "secrets" / "secret"):
            kept.unlink(missing_ok=True)
        self.check_in()
        return (self.place / "secrets" / "secret").read_text()

    def assert_renewed(self, before: x509.Certificate) -> None:
        """One identity, a new one, in one pair of places; the gateway knows it and nothing is left over."""
        key, certificate = self.places
        assert (key, certificate) in PLACES
        assert (objects(self.hsm, "privkey"), objects(self.hsm, "pubkey")) == ([("tls", key)], [("tls", key)])
        assert objects(self.hsm, "cert") == [("client", certificate)]
        after = self.on_token
        assert after == self.certificate
        assert spki(after.public_key()) == spki(self.public_key) != spki(before.public_key())
        assert after.subject.public_bytes() == before.subject.public_bytes()
        chain = x509.load_pem_x509_certificates((self.program.directory / "client.chained").read_bytes())
        assert chain[0] == after
        after.verify_directly_issued_by(chain[1])
        assert [name for name in self.program.files if "next" in name or name.startswith(".")] == []
        state = json.loads((self.program.directory / "renewal.json").read_text())
        assert (state["rotation"], bool(state["completed"])) == (None, True)
        assert self.check_in()["uuid"] == self.uuid

    def leave(self, left: x509.Certificate, key: str = "tls", certificate: str = "client") -> None:
        """Put a new key and this certificate into the places 07 and 09 under these labels, as another program does."""
        kind = ("--keypairgen", "--key-type", "EC:prime256v1")
        self.hsm.pkcs11_tool(*kind, "--label", key, "--id", PLACES[1][0], label=DEVICE_HSM_LABEL)
        self._write(left, certificate, PLACES[1][1])

    def put_certificate(self, certificate: x509.Certificate) -> None:
        """Put another certificate in the place of the one in use."""
        words = ("--delete-object", "--type", "cert", "--id", self.places[1])
        self.hsm.pkcs11_tool(*words, label=DEVICE_HSM_LABEL)
        self._write(certificate, "client", self.places[1])

    def _write(self, certificate: x509.Certificate, name: str, object_id: str) -> None:
        file = self.place / "write.der"
        file.write_bytes(certificate.public_bytes(Encoding.DER))
        words = ("--write-object", str(file), "--type", "cert", "--label", name, "--id", object_id)
        self.hsm.pkcs11_tool(*words, label=DEVICE_HSM_LABEL)

    def _read(self, kind: str, object_id: str) -> bytes:
        file = self.place / "read.der"
        file.unlink(missing_ok=True)
        words = ("--read-object", "--type", kind, "--id", object_id, "--output-file", str(file))
        self.hsm.pkcs11_tool(*words, label=DEVICE_HSM_LABEL)
        return file.read_bytes()


def renewing_on_token(server: RunningServer, token: str, place: Path, hsm: SoftHsm, *more: str) -> RenewingOnToken:
    """Register a device whose key is made on a token."""
    program = DeviceProgram(place / "sota", f"{server.api_url}/ota/devices/", server.factory, token=token, hsm=hsm)
    (place / "handlers").mkdir()
    return RenewingOnToken(server, program, place, program.registered(*more)["uuid"])
