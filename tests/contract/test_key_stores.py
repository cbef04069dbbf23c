"""What every key store promises, over every kind of key store."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError
from ownroot.keystore.file import FileKeyStore
from ownroot.keystore.memory import MemoryKeyStore
from ownroot.keystore.pkcs11 import Pkcs11KeyStore
from tests.support.softhsm import LABEL, PIN, soft_hsm


@pytest.fixture(params=["file", "memory", "pkcs11"])
def store(request, tmp_path, monkeypatch):
    match request.param:
        case "file":
            yield FileKeyStore(tmp_path)
        case "memory":
            yield MemoryKeyStore()
        case "pkcs11":
            hsm = soft_hsm(tmp_path)
            for name, value in hsm.environment.items():
                monkeypatch.setenv(name, value)
            on_token = Pkcs11KeyStore(hsm.module, LABEL, PIN)
            yield on_token
            on_token.close()


def test_a_key_that_was_made_is_found_again(store):
    made = store.create("root-ca")
    found = store.find("root-ca")
    assert found.public_key() == made.public_key()


def test_a_key_that_was_not_made_is_not_found(store):
    store.create("root-ca")
    assert store.find("root-cb") is None


def test_a_key_is_p256_and_signs(store):
    key = store.create("k")
    signature = key.sign(b"text", ec.ECDSA(hashes.SHA256()))
    key.public_key().verify(signature, b"text", ec.ECDSA(hashes.SHA256()))
    assert key.curve.name == "secp256r1"


def test_a_taken_label_is_refused_and_the_key_stays(store):
    made = store.create("k")
    with pytest.raises(KeyStoreError) as refusal:
        store.create("k")
    assert refusal.value.code == "key-exists"
    assert store.find("k").public_key() == made.public_key()


@pytest.mark.parametrize("label", ["", "../x", "a/b", ".hidden", "a\n", "x" * 65, "a b"])
def test_a_label_that_is_no_file_name_is_refused(store, label):
    for act in (store.create, store.find):
        with pytest.raises(KeyStoreError) as refusal:
            act(label)
        assert refusal.value.code == "key-label"
