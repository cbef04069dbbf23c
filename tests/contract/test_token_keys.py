"""What a token for online CA keys promises, over SoftHSM2 and over the one in memory that other tests use."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError
from ownroot.keystore.ca_keys_on_token import CaKeysOnToken
from ownroot.pki.signer import generate_key
from tests.support.memory_token import MemoryToken
from tests.support.softhsm import LABEL, PIN, open_sessions, soft_hsm

FIRST, SECOND = b"\x01" * 16, b"\x02" * 16
OURS, THEIRS = "ownroot:1111111111111111:", "ownroot:2222222222222222:"
ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())


@pytest.fixture(params=["memory", "softhsm"])
def token(request, tmp_path, monkeypatch):
    if request.param == "memory":
        yield MemoryToken()
        return
    hsm = soft_hsm(tmp_path)
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    keys = CaKeysOnToken(hsm.module, LABEL, PIN)
    yield keys
    keys.close()
    assert open_sessions(hsm.module) == 0


def refused(act, *arguments) -> str:
    with pytest.raises(KeyStoreError) as caught:
        act(*arguments)
    return caught.value.code


def sign(key) -> None:
    key.public_key().verify(key.sign(b"text", ECDSA_SHA256), b"text", ECDSA_SHA256)


def test_a_key_that_was_made_signs(token):
    public_key = token.create(FIRST, OURS + "acme")
    assert public_key.curve.name == "secp256r1"
    key = token.open(FIRST, OURS + "acme", public_key)
    assert key.public_key() == public_key
    sign(key)


def test_no_signature_leaves_that_the_named_public_key_does_not_verify(token):
    token.create(FIRST, OURS + "acme")
    other = generate_key().public_key()
    assert refused(token.open(FIRST, OURS + "acme", other).sign, b"text", ECDSA_SHA256) == "key-mismatch"


def test_a_key_is_found_by_id_and_label_together(token):
    public_key = token.create(FIRST, OURS + "acme")
    assert refused(token.open(SECOND, OURS + "acme", public_key).sign, b"text", ECDSA_SHA256) == "key-gone"
    assert refused(token.open(FIRST, OURS + "other", public_key).sign, b"text", ECDSA_SHA256) == "key-gone"


def test_ids_are_those_under_the_prefix(token):
    assert token.ids(OURS) == frozenset()
    token.create(FIRST, OURS + "acme")
    token.create(SECOND, THEIRS + "acme")
    assert token.ids(OURS) == {FIRST}
    assert token.ids("ownroot:") == {FIRST, SECOND}


def test_a_destroyed_key_signs_no_more_and_may_be_destroyed_again(token):
    key = token.open(FIRST, OURS + "acme", token.create(FIRST, OURS + "acme"))
    sign(key)
    for _ in range(2):
        token.destroy(FIRST, OURS)
    assert token.ids(OURS) == frozenset()
    assert refused(key.sign, b"text", ECDSA_SHA256) == "key-gone"


def test_a_key_of_another_installation_is_not_destroyed_under_our_prefix(token):
    key = token.open(FIRST, THEIRS + "acme", token.create(FIRST, THEIRS + "acme"))
    token.destroy(FIRST, OURS)
    sign(key)


def test_making_a_key_again_replaces_what_a_cut_attempt_left(token):
    left = token.create(FIRST, OURS + "acme")
    made = token.create(FIRST, OURS + "acme")
    assert left != made
    sign(token.open(FIRST, OURS + "acme", made))


def test_a_required_key_is_there_or_named_as_gone(token):
    token.require(None)
    token.create(FIRST, OURS + "acme")
    token.require(FIRST)
    assert refused(token.require, SECOND) == "key-gone"
