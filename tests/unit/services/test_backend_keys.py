"""Backend keys open only for their purpose, and only as the key their entry names."""

import dataclasses

import pytest

from ownroot.errors import KeyStoreError
from ownroot.keystore.sealing import Sealer
from ownroot.pki.encoding import spki_sha256
from ownroot.services.backend_keys import Keyring
from ownroot.services.records import SealedKeyPurpose

CA, TLS = SealedKeyPurpose.CA, SealedKeyPurpose.GATEWAY_TLS


@pytest.fixture
def keyring():
    return Keyring({CA: Sealer(bytes(32)), TLS: Sealer(bytes(range(32)))})


def test_a_key_that_was_made_opens_again(keyring):
    key, sealed = keyring.make(CA)
    assert sealed.spki_sha256 == spki_sha256(key.public_key())
    assert keyring.open(sealed).public_key() == key.public_key()


def test_a_gateway_opens_tls_keys_and_no_ca_key(keyring):
    gateway = Keyring({TLS: Sealer(bytes(range(32)))})
    assert gateway.open(keyring.make(TLS)[1])
    with pytest.raises(KeyStoreError) as refusal:
        gateway.open(keyring.make(CA)[1])
    assert refusal.value.code == "key-purpose"


@pytest.mark.parametrize(
    "swapped",
    [
        lambda sealed, other: dataclasses.replace(sealed, sealed=other.sealed),
        lambda sealed, other: dataclasses.replace(sealed, spki_sha256=other.spki_sha256),
        lambda sealed, _: dataclasses.replace(sealed, purpose=TLS),
        lambda sealed, _: dataclasses.replace(sealed, sealed=sealed.sealed[:-1]),
    ],
    ids=["another value", "another name", "another purpose", "cut"],
)
def test_an_entry_put_together_from_two_does_not_open(keyring, swapped):
    sealed, other = keyring.make(CA)[1], keyring.make(CA)[1]
    with pytest.raises(KeyStoreError) as refusal:
        keyring.open(swapped(sealed, other))
    assert refusal.value.code == "sealed-unreadable"


def test_no_private_key_is_stored_in_clear(keyring):
    key, sealed = keyring.make(CA)
    assert key.private_numbers().private_value.to_bytes(32, "big") not in sealed.sealed
