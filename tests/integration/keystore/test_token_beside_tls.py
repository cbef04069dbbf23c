"""A token and a TLS connection on one thread: what the module leaves in OpenSSL must not break the next read."""

import os
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ownroot.clock import utc_now
from tests.support.certificates import factory_root, gateway_tls
from tests.support.softhsm import LABEL, PIN, SoftHsm

# A process of its own: a module looks for its engines once, at its start.
PROGRAM = """
import contextlib, socket, ssl, sys, threading, time
from pathlib import Path
from ownroot.keystore.pkcs11 import Pkcs11KeyStore

certificate, module, label, pin = sys.argv[1:]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
near, far = socket.socketpair()
near.settimeout(30)  # reads then wait for the socket outside OpenSSL, and ask it why they must

def answer_late():
    with server.wrap_socket(far, server_side=True) as connection:
        for _ in range(3):
            connection.recv(16)
            time.sleep(0.1)
            connection.sendall(b"answer")

threading.Thread(target=answer_late, daemon=True).start()
with client.wrap_socket(near) as connection:
    def ask():
        connection.sendall(b"question")
        assert connection.recv(16) == b"answer"

    ask()
    with contextlib.closing(Pkcs11KeyStore(Path(module), label, pin)) as keys:
        key = keys.create("root-ca")
        ask()
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        key.sign(b"data", ec.ECDSA(hashes.SHA256()))
        ask()
print("well")
"""


def test_connection_goes_on_after_a_token_was_used_on_its_thread(hsm: SoftHsm, tmp_path: Path) -> None:
    pair = gateway_tls(factory_root(now=utc_now()), now=utc_now())
    pem = tmp_path / "server.pem"
    key = pair.ec_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    pem.write_text(pair.pem + key)
    command = [sys.executable, "-c", PROGRAM, str(pem), str(hsm.module), LABEL, PIN]
    environment = {**os.environ, **hsm.environment}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.strip() == "well", done.stderr
