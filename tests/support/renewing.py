"""A registered device that renews, with its owner's view of it."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ownroot.pki.ecies import decrypt, encrypt
from tests.support.device_program import DeviceProgram, certificate_of
from tests.support.world import RunningServer

SECRET = "the value that only this device reads"
SAVE = "ownroot.device.renewal_state:RenewalFile.save"
AT_REST = ["client.chained", "client.pem", "pkey.pem", "renewal.json", "root.crt", "sota.toml"]


@dataclass(frozen=True, slots=True)
class Renewing:
    """One device with a key in a file."""

    server: RunningServer
    program: DeviceProgram
    place: Path
    uuid: str

    def renew(self, *more: str) -> Any:
        """Renew to the end; returns what the program says."""
        done = self.program.run("renew", "--json", *more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def fails(self, *more: str) -> str:
        """Renew in vain; returns the code."""
        done = self.program.run("renew", "--json", *more)
        assert done.returncode != 0, done.stdout
        return str(json.loads(done.stderr.splitlines()[-1])["error"]["code"])

    def check_in(self) -> Any:
        """Visit the gateway."""
        directories = (f"--{name}-dir={self.place / name}" for name in ("secrets", "handlers", "actions"))
        done = self.program.run("check-in", "--json", *directories)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def push(self, *files: dict[str, Any]) -> None:
        """Configure this device alone."""
        answer = self.server.call("PATCH", self.path("config/"), document={"reason": "", "files": list(files)})
        assert answer.is_success, answer.text

    def push_secret(self, text: str = SECRET) -> None:
        """Configure a value that is encrypted to the present key."""
        value = encrypt(text.encode(), self.key.public_key())
        self.push({"name": "secret", "value": value, "unencrypted": False})

    def path(self, rest: str = "") -> str:
        return f"/ota/devices/{self.uuid}/{rest}?by-uuid=1"

    @property
    def gateway(self) -> str:
        """The base URL of its gateway."""
        return str(tomllib.loads((self.program.directory / "sota.toml").read_text())["tls"]["server"])

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """The key that `sota.toml` names."""
        path = tomllib.loads((self.program.directory / "sota.toml").read_text())["import"]["tls_pkey_path"]
        key = load_pem_private_key(Path(path).read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    @property
    def certificate(self) -> x509.Certificate:
        return certificate_of(self.program)

    @property
    def stored_secret(self) -> str:
        """The value that the server keeps, read with the present key."""
        files = self.server.call("GET", self.path("config/")).json()["config"][0]["files"]
        (value,) = [file["value"] for file in files if file["name"] == "secret"]
        key = self.key
        return decrypt(value, key.curve, lambda peer: key.exchange(ec.ECDH(), peer)).decode()

    def events(self, rotation: str) -> list[tuple[str, bool]]:
        """The events of a rotation, oldest first, each with its success."""
        answer = self.server.call("GET", self.path(f"updates/{rotation}/"))
        assert answer.status_code == 200, answer.text
        return [(event["eventType"]["id"], event["event"]["success"]) for event in answer.json()]

    def assert_renewed(self, before: x509.Certificate) -> None:
        """One identity, a new one, in the files it had; the gateway knows it and nothing is left over."""
        after = self.certificate
        assert spki(after.public_key()) == spki(self.key.public_key()) != spki(before.public_key())
        assert after.subject.public_bytes() == before.subject.public_bytes()
        chain = x509.load_pem_x509_certificates((self.program.directory / "client.chained").read_bytes())
        assert chain[0] == after
        after.verify_directly_issued_by(chain[1])
        settings = tomllib.loads((self.program.directory / "sota.toml").read_text())["import"]
        assert settings["tls_pkey_path"] == str(self.program.directory / "pkey.pem")
        assert settings["tls_clientcert_path"] == str(self.program.directory / "client.pem")
        assert [name for name in self.program.files if "next" in name or name.startswith(".")] == []
        state = json.loads((self.program.directory / "renewal.json").read_text())
        assert (state["rotation"], bool(state["completed"])) == (None, True)
        assert self.check_in()["uuid"] == self.uuid


def renewing(server: RunningServer, token: str, place: Path) -> Renewing:
    """Register a device."""
    program = DeviceProgram(place / "sota", f"{server.api_url}/ota/devices/", server.factory, token=token)
    (place / "handlers").mkdir()
    return Renewing(server, program, place, program.registered()["uuid"])


def spki(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
