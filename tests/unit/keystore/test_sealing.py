"""What was sealed opens only as what it was sealed as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import KeyStoreError
from ownroot.keystore.sealing import Sealer

KEY = bytes(range(32))


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_sealed_values_open_again(plaintext, bound_to):
    sealer = Sealer(KEY)
    assert sealer.open(sealer.seal(plaintext, bound_to=bound_to), bound_to=bound_to) == plaintext


@given(st.integers(0, 44), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position, mask):
    sealer = Sealer(KEY)
    sealed = bytearray(sealer.seal(b"a private key...", bound_to=b"ca"))
    sealed[position] ^= mask
    with pytest.raises(KeyStoreError):
        sealer.open(bytes(sealed), bound_to=b"ca")


@pytest.mark.parametrize(
    "opening", [lambda s: Sealer(bytes(32)).open(s, bound_to=b"ca"), lambda s: Sealer(KEY).open(s, bound_to=b"tls")]
)
def test_another_key_or_another_binding_does_not_open(opening):
    sealed = Sealer(KEY).seal(b"x", bound_to=b"ca")
    assert Sealer(KEY).open(sealed, bound_to=b"ca") == b"x"
    with pytest.raises(KeyStoreError) as refusal:
        opening(sealed)
    assert refusal.value.code == "sealed-unreadable"


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(12), bytes(60)])
def test_rubbish_does_not_open(sealed):
    with pytest.raises(KeyStoreError):
        Sealer(KEY).open(sealed, bound_to=b"")


def test_the_same_text_is_never_sealed_alike():
    sealer = Sealer(KEY)
    assert sealer.seal(b"x", bound_to=b"") != sealer.seal(b"x", bound_to=b"")


def test_a_key_of_another_size_is_refused():
    with pytest.raises(KeyStoreError) as refusal:
        Sealer(bytes(16))
    assert refusal.value.code == "sealing-key-size"
