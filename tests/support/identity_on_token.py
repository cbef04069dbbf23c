"""What an independent program (OpenSC, OpenSSL) sees of a device's identity on its token."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ownroot.keystore.labels import DEVICE_HSM_LABEL as TOKEN
from tests.support.device_program import DeviceProgram, certificate_of
from tests.support.softhsm import PIN, SoftHsm
from tests.support.tools import lack, require_tool


def objects(hsm: SoftHsm, kind: str, *, login: bool = True) -> list[tuple[str, str]]:
    """Return label and id of each object of a kind."""
    shown = hsm.pkcs11_tool("--list-objects", "--type", kind, login=login, label=TOKEN)
    return sorted(re.findall(r"label: +(\S+)\n(?:.*\n)*? +ID: +(\S+)", shown))


def certificate_on(hsm: SoftHsm, place: Path) -> x509.Certificate:
    """Read the certificate from the token, through the file `place`."""
    place.unlink(missing_ok=True)
    hsm.pkcs11_tool("--read-object", "--type", "cert", "--label", "client", "--output-file", str(place), label=TOKEN)
    return x509.load_der_x509_certificate(place.read_bytes())


def public_key_on(hsm: SoftHsm, place: Path) -> bytes:
    """Read the public key from the token, DER, through the file `place`."""
    place.unlink(missing_ok=True)
    hsm.pkcs11_tool("--read-object", "--type", "pubkey", "--label", "tls", "--output-file", str(place), label=TOKEN)
    return place.read_bytes()


def assert_complete(device: DeviceProgram, hsm: SoftHsm, place: Path) -> None:
    """One key pair, one certificate that is the file's and the key's, the files of a device, and nothing else."""
    assert (objects(hsm, "privkey"), objects(hsm, "pubkey")) == ([("tls", "01")], [("tls", "01")])
    assert objects(hsm, "cert") == [("client", "03")]
    assert device.files == ["client.chained", "client.pem", "root.crt", "sota.toml"]
    certificate = certificate_of(device)
    assert certificate_on(hsm, place / "client.der") == certificate
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_on(hsm, place / "tls.der") == spki


def request_with_key_on_token(device: DeviceProgram, hsm: SoftHsm, address: tuple[str, int]) -> str:
    """Ask the gateway who we are, over TLS of OpenSSL's own program with the key on the token; return what it shows."""
    openssl = require_tool("openssl")
    environment = os.environ | hsm.environment | {"PKCS11_MODULE_PATH": str(hsm.module)}
    engine = subprocess.run([openssl, "engine", "-t", "pkcs11"], capture_output=True, text=True, check=False)
    if "[ available ]" not in engine.stdout:
        lack("OpenSSL's engine for PKCS#11 is missing; ./run test as root installs it")
    host, port = address
    name = _gateway_name(device)
    command = [openssl, "s_client", "-connect", f"{host}:{port}", "-servername", name, "-quiet", "-verify_return_error"]
    command += ["-CAfile", str(device.directory / "root.crt"), "-verify_hostname", name]
    command += ["-engine", "pkcs11", "-keyform", "engine", "-cert", str(device.directory / "client.pem")]
    command += ["-key", f"pkcs11:token={TOKEN};object=tls;type=private;pin-value={PIN}"]
    request = f"GET /device HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n"
    done = subprocess.run(
        command, input=request, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout + done.stderr


def _gateway_name(device: DeviceProgram) -> str:
    server = tomllib.loads((device.directory / "sota.toml").read_text())["tls"]["server"]
    return str(server).removeprefix("https://").partition(":")[0]
