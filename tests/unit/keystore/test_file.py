"""Key files: the form other clients read, never over another file, and what other tools wrote."""

import os
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ownroot.errors import KeyStoreError
from ownroot.keystore.durable import write_new_file
from ownroot.keystore.file import FileKeyStore
from tests.support.tools import require_tool


def test_a_key_is_sec1_pem_with_mode_0400(tmp_path):
    FileKeyStore(tmp_path).create("factory_ca")
    path = tmp_path / "factory_ca.key"
    assert path.read_bytes().startswith(b"-----BEGIN EC PRIVATE KEY-----\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert os.listdir(tmp_path) == ["factory_ca.key"]


def test_openssl_reads_our_keys(tmp_path):
    FileKeyStore(tmp_path).create("k")
    openssl = require_tool("openssl")
    subprocess.run([openssl, "ec", "-in", tmp_path / "k.key", "-check", "-noout"], check=True)


def test_keys_of_openssl_are_read_with_their_parameters_block(tmp_path):
    openssl = require_tool("openssl")
    subprocess.run([openssl, "ecparam", "-name", "secp521r1", "-genkey", "-out", tmp_path / "k.key"], check=True)
    key = FileKeyStore(tmp_path).find("k")
    assert key is not None
    assert key.curve.name == "secp521r1"


def test_pkcs8_is_read(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = FileKeyStore(tmp_path).find("k")
    assert found is not None
    assert found.public_key() == key.public_key()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "key-unreadable"),
        (b"rubbish", "key-unreadable"),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")
            ),
            "key-encrypted",
        ),
        (
            rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "key-unsupported",
        ),
    ],
    ids=["empty", "rubbish", "encrypted", "rsa"],
)
def test_what_is_no_plain_ec_key_is_refused(tmp_path, content, code):
    (tmp_path / "k.key").write_bytes(content)
    with pytest.raises(KeyStoreError) as refusal:
        FileKeyStore(tmp_path).find("k")
    assert refusal.value.code == code


def test_a_directory_that_is_not_there_is_an_error_not_a_missing_key(tmp_path):
    with pytest.raises(KeyStoreError) as refusal:
        FileKeyStore(tmp_path / "none").create("k")
    assert refusal.value.code == "key-unwritable"


def test_a_file_is_never_replaced_and_nothing_is_left_behind(tmp_path):
    target = tmp_path / "k"
    write_new_file(target, b"first", mode=0o400)
    with pytest.raises(FileExistsError):
        write_new_file(target, b"second", mode=0o400)
    assert target.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["k"]
