"""What Ed25519 keys on a token promise, over SoftHSM2."""

import copy
import pickle

import pytest

from ownroot.errors import KeyStoreError
from ownroot.keystore.pkcs11 import Pkcs11KeyStore
from tests.support.softhsm import LABEL, PIN, open_sessions, soft_hsm


@pytest.fixture
def hsm(tmp_path, monkeypatch):
    hsm = soft_hsm(tmp_path)
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    return hsm


@pytest.fixture
def store(hsm):
    store = Pkcs11KeyStore(hsm.module, LABEL, PIN)
    yield store
    store.close()
    assert open_sessions(hsm.module) == 0


def code_of(act, *arguments) -> str:
    with pytest.raises(KeyStoreError) as caught:
        act(*arguments)
    return caught.value.code


def test_key_that_was_made_is_found_and_signs(store):
    made = store.create_ed25519("tuf-root-1")
    found = store.find_ed25519("tuf-root-1")

    assert found.public_key() == made.public_key()
    found.public_key().verify(found.sign(b"text"), b"text")


def test_label_that_is_taken_or_unknown(store):
    store.create_ed25519("tuf-root-1")

    assert code_of(store.create_ed25519, "tuf-root-1") == "key-exists"
    assert store.find_ed25519("tuf-root-2") is None
    assert code_of(store.find_ed25519, "not a label") == "key-label"


def test_key_never_leaves_the_token(store):
    key = store.create_ed25519("tuf-root-1")

    assert code_of(key.private_bytes_raw) == "key-not-exportable"
    assert code_of(key.private_bytes, None, None, None) == "key-not-exportable"
    assert code_of(pickle.dumps, key) == "key-not-exportable"
    assert copy.copy(key) is copy.deepcopy(key) is key


def test_key_of_another_kind_or_without_its_public_half_is_refused(store, hsm):
    store.create("on-a-curve")
    store.create_ed25519("tuf-root-1")
    hsm.pkcs11_tool("--delete-object", "--type", "pubkey", "--label", "tuf-root-1")

    assert code_of(store.find_ed25519, "on-a-curve") == "key-unsupported"
    assert code_of(store.find_ed25519, "tuf-root-1") == "key-public-missing"
