"""Keys on a token: what they are made of, what they sign, and keys that pkcs11-tool shares with us."""

import hashlib
import os
import pickle
import re
import subprocess
import sys
from copy import copy, deepcopy
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ownroot.errors import KeyStoreError
from ownroot.keystore.file import sec1_pem
from ownroot.pki.encoding import certificate_pem
from ownroot.pki.issuance import plan_factory_root, sign_plan
from ownroot.pki.serials import new_serial
from ownroot.pki.signer import generate_key
from tests.support.softhsm import SoftHsm
from tests.support.tools import require_tool

ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def verifies(key, algorithm=ECDSA_SHA256, data: bytes = b"text") -> bool:
    """Sign on the token, verify with the ordinary public key; raises if the signature is not good."""
    key.public_key().verify(key.sign(data, algorithm), data, algorithm)
    return True


def refusal(act, *arguments) -> str:
    with pytest.raises(KeyStoreError) as caught:
        act(*arguments)
    return caught.value.code


def generate(hsm: SoftHsm, *, label: str = "root-ca", key_id: str = "01", kind: str = "EC:prime256v1") -> None:
    hsm.pkcs11_tool("--keypairgen", "--key-type", kind, "--label", label, "--id", key_id)


# --- what is made -----------------------------------------------------------------------------------------------


def test_the_root_key_is_made_under_the_id_of_the_protocol_and_cannot_be_extracted(store, hsm):
    # api.md §7: label root-ca, id 0x01, prime256v1, sensitive, never extractable.
    store.create("root-ca")
    shown = hsm.pkcs11_tool("--list-objects", "--type", "privkey")
    assert re.search(r"label: +root-ca\n +ID: +01\n +Usage: +sign\n", shown)
    assert "sensitive, always sensitive, never extractable" in shown


def test_two_keys_have_two_ids(store, hsm):
    store.create("root-ca")
    store.create("local-ca")
    shown = hsm.pkcs11_tool("--list-objects", "--type", "privkey")
    assert len(set(re.findall(r"ID: +(\w+)", shown))) == 2


@pytest.mark.parametrize(
    "export",
    [
        lambda key: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        lambda key: key.private_numbers(),
        sec1_pem,
        pickle.dumps,
    ],
    ids=["bytes", "numbers", "sec1", "pickle"],
)
def test_a_key_on_a_token_is_never_exported(store, export):
    assert refusal(export, store.create("root-ca")) == "key-not-exportable"


def test_a_key_on_a_token_does_no_key_agreement(store):
    assert refusal(store.create("root-ca").exchange, ec.ECDH(), generate_key().public_key()) == "key-signs-only"


def test_a_copy_of_a_key_is_that_key(store):
    key = store.create("root-ca")
    assert verifies(copy(key))
    assert verifies(deepcopy(key))


# --- what is signed ---------------------------------------------------------------------------------------------


def test_the_public_half_is_an_ordinary_key(store):
    key = store.create("root-ca")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert pem.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert (key.curve.name, key.key_size) == ("secp256r1", 256)


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda a: a.name)
@pytest.mark.parametrize("kind", ["EC:prime256v1", "EC:secp384r1", "EC:secp521r1"])
def test_every_curve_signs_every_digest(store, hsm, kind, algorithm):
    generate(hsm, kind=kind)
    assert verifies(store.find("root-ca"), ec.ECDSA(algorithm))


def test_a_digest_made_elsewhere_is_signed_as_it_is(store):
    key = store.create("root-ca")
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"text")
    signature = key.sign(digest.finalize(), ec.ECDSA(Prehashed(hashes.SHA256())))
    key.public_key().verify(signature, b"text", ECDSA_SHA256)


def test_a_digest_of_another_length_is_refused(store):
    key = store.create("root-ca")
    assert refusal(key.sign, b"short", ec.ECDSA(Prehashed(hashes.SHA256()))) == "signature-unsupported"


def test_deterministic_signatures_are_refused_rather_than_faked(store):
    key = store.create("root-ca")
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    assert refusal(key.sign, b"text", algorithm) == "signature-unsupported"


def test_openssl_accepts_a_root_signed_on_a_token(store, tmp_path: Path):
    key = store.create("root-ca")
    root = sign_plan(plan_factory_root("acme", key.public_key(), now=NOW, serial=new_serial()), key)
    file = tmp_path / "root.pem"
    file.write_text(certificate_pem(root))
    command = [require_tool("openssl"), "verify", "-check_ss_sig", "-x509_strict", "-CAfile", str(file), str(file)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


# --- shared with pkcs11-tool ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_id", ["01", "31", "a0b1c2"])
def test_a_key_made_by_pkcs11_tool_is_found_under_any_id(store, hsm, key_id):
    generate(hsm, key_id=key_id)
    assert verifies(store.find("root-ca"))


def test_pkcs11_tool_signs_with_a_key_we_made(store, hsm, tmp_path: Path):
    key = store.create("root-ca")
    (tmp_path / "digest").write_bytes(hashlib.sha256(b"text").digest())
    arguments = ["--sign", "--mechanism", "ECDSA", "--id", "01", "--signature-format", "openssl"]
    hsm.pkcs11_tool(*arguments, "--input-file", str(tmp_path / "digest"), "--output-file", str(tmp_path / "signature"))
    key.public_key().verify((tmp_path / "signature").read_bytes(), b"text", ECDSA_SHA256)


def test_the_key_is_chosen_by_its_label(store, hsm):
    generate(hsm, label="other", key_id="01")
    generate(hsm, label="root-ca", key_id="31")
    assert store.find("root-ca").public_key() != store.find("other").public_key()


def test_two_keys_of_one_label_are_refused_naming_their_ids(store, hsm):
    generate(hsm, key_id="01")
    generate(hsm, key_id="31")
    with pytest.raises(KeyStoreError, match=r"ids (01, 31|31, 01)") as caught:
        store.find("root-ca")
    assert caught.value.code == "key-ambiguous"


def test_a_key_made_by_pkcs11_tool_is_not_replaced(store, hsm):
    generate(hsm, key_id="31")
    before = store.find("root-ca").public_key()
    assert refusal(store.create, "root-ca") == "key-exists"
    assert store.find("root-ca").public_key() == before


def test_a_key_that_does_not_sign_with_ecdsa_is_refused(store, hsm):
    generate(hsm, kind="rsa:2048")
    assert refusal(store.find, "root-ca") == "key-unsupported"


def test_a_private_key_without_its_public_half_is_refused_with_the_way_out(store, hsm):
    generate(hsm)
    hsm.pkcs11_tool("--delete-object", "--type", "pubkey", "--id", "01")
    with pytest.raises(KeyStoreError, match="--write-object FILE --type pubkey --label root-ca --id 01") as caught:
        store.find("root-ca")
    assert caught.value.code == "key-public-missing"


def test_the_public_half_of_another_key_is_noticed(store, hsm, tmp_path: Path):
    generate(hsm)
    hsm.pkcs11_tool("--delete-object", "--type", "pubkey", "--id", "01")
    der = generate_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "other.der").write_bytes(der)
    written = ["--write-object", str(tmp_path / "other.der"), "--type", "pubkey", "--label", "root-ca", "--id", "01"]
    hsm.pkcs11_tool(*written)
    assert refusal(store.find, "root-ca") == "key-mismatch"


def test_a_key_deleted_behind_our_back_is_named(store, hsm):
    key = store.create("root-ca")
    hsm.pkcs11_tool("--delete-object", "--type", "privkey", "--id", "01")
    assert refusal(key.sign, b"text", ECDSA_SHA256) == "key-gone"


# --- without the extra ------------------------------------------------------------------------------------------


def test_without_python_pkcs11_the_error_says_what_to_install():
    program = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from pathlib import Path\n"
        "from ownroot.errors import KeyStoreError\n"
        "from ownroot.keystore.pkcs11 import Pkcs11KeyStore\n"
        "try: Pkcs11KeyStore(Path('/module'), 'label', 'pin')\n"
        "except KeyStoreError as error: print(error.code, error.detail)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.startswith("pkcs11-missing ")
    assert "pip install 'ownroot[hsm]'" in done.stdout
