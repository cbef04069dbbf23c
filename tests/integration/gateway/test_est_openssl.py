"""A renewal with curl and openssl alone, from the request to the first visit with the new key."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.api_owner import ApiOwner
from tests.support.enrolling import EST
from tests.support.tools import require_tool
from tests.support.world import running_server

UUID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("est"), workers=1) as server:
        yield ApiOwner(server)


class Bench:
    """A folder with a device's files, as on the device, and the two programs."""

    def __init__(self, owner: ApiOwner, folder: Path) -> None:
        self.owner, self.folder = owner, folder
        identity = owner.register_pair(UUID)
        self.write("client.pem", identity.pem)
        key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.write("pkey.pem", key.decode())
        host, port = owner.server.gateway_address
        self.url = f"https://{owner.server.gateway_name}:{port}"
        self.resolve = f"{owner.server.gateway_name}:{port}:{host}"

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def openssl(self, *words: str) -> str:
        return self.run("openssl", *words)

    def curl(self, path: str, *words: str, identity: str = "") -> str:
        """Return the body; curl fails on a refusal and on a server it cannot verify."""
        shown = ("--cert", f"{identity}client.pem", "--key", f"{identity}pkey.pem") if identity is not None else ()
        common = ("--silent", "--fail-with-body", "--cacert", "root.crt", "--resolve", self.resolve)
        return self.run("curl", *common, *shown, *words, f"{self.url}{path}")

    def run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [require_tool(program), *words], cwd=self.folder, capture_output=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        return done.stdout.decode()


def test_curl_and_openssl_renew_a_certificate(owner: ApiOwner, tmp_path: Path) -> None:
    bench = Bench(owner, tmp_path)
    # The root comes from EST itself here; a real device has it from its registration.
    bench.run("curl", "--silent", "--insecure", "--resolve", bench.resolve, "-o", "ca.b64", f"{bench.url}{EST}/cacerts")
    bench.openssl("base64", "-d", "-in", "ca.b64", "-out", "ca.p7")
    bench.openssl("pkcs7", "-inform", "DER", "-in", "ca.p7", "-print_certs", "-out", "root.crt")

    bench.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "new-pkey.pem")
    usages = ("-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=critical,clientAuth")
    request = ("req", "-new", "-key", "new-pkey.pem", "-utf8", "-subj", f"/CN={UUID}/OU=acme", *usages)
    bench.openssl(*request, "-outform", "DER", "-out", "csr.der")
    bench.openssl("base64", "-in", "csr.der", "-out", "csr.b64")

    enrol = ("-H", "Content-Type: application/pkcs10", "--data-binary", "@csr.b64", "-o", "new.b64")
    bench.curl(f"{EST}/simplereenroll", *enrol)
    bench.openssl("base64", "-d", "-in", "new.b64", "-out", "new.p7")
    bench.openssl("pkcs7", "-inform", "DER", "-in", "new.p7", "-print_certs", "-out", "new-client.pem")
    printed = bench.openssl("x509", "-in", "new-client.pem", "-noout", "-text", "-certopt", "no_sigdump")
    assert (tmp_path / "new-client.pem").read_text().count("BEGIN CERTIFICATE") == 1
    assert "Digital Signature\n" in printed
    assert "TLS Web Client Authentication\n" in printed
    assert "CA:FALSE" in printed
    before, after = (bench.openssl("x509", "-in", f"{name}client.pem", "-noout", "-subject") for name in ("", "new-"))
    assert before == after

    public = bench.openssl("pkey", "-in", "new-pkey.pem", "-pubout").replace("\n", "\\n")
    bench.write("next.json", f'{{"next_pubkey": "{public}"}}')
    patch = ("-X", "PATCH", "-H", "Content-Type: application/json", "--data-binary", "@next.json")
    assert bench.curl("/device", *patch, "-w", "%{http_code}").endswith("200")
    assert UUID in bench.curl("/device", identity="new-")
    with pytest.raises(AssertionError, match="device-key-replaced"):
        bench.curl("/device")


def test_openssl_prints_the_root_and_nothing_else(owner: ApiOwner, tmp_path: Path) -> None:
    host, port = owner.server.gateway_address
    address = f"https://{host}:{port}{EST}/cacerts"
    done = subprocess.run(
        [require_tool("curl"), "--silent", "--insecure", address], capture_output=True, timeout=30, check=True
    )
    (tmp_path / "ca.b64").write_bytes(done.stdout)
    openssl = require_tool("openssl")
    der = subprocess.run([openssl, "base64", "-d", "-in", tmp_path / "ca.b64"], capture_output=True, check=True).stdout
    printed = subprocess.run(
        [openssl, "pkcs7", "-inform", "DER", "-print_certs", "-noout"], input=der, capture_output=True, check=True
    ).stdout.decode()
    assert printed.count("subject=") == 1
