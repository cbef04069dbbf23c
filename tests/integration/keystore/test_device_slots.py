"""The places of a device's identity on a real token: keys that sign and do ECDH, certificates, and what is not ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError
from ownroot.keystore.device_slots import DeviceSlots
from ownroot.pki.ecies import decrypt, encrypt
from tests.support.softhsm import LABEL, PIN, SoftHsm, open_sessions

ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
ONE, SEVEN = b"\x01", b"\x07"


@pytest.fixture
def slots(hsm: SoftHsm) -> Iterator[DeviceSlots]:
    slots = DeviceSlots(hsm.module, LABEL, PIN)
    yield slots
    slots.close()
    assert open_sessions(hsm.module) == 0


def test_a_key_is_made_once_in_its_place_and_signs(slots: DeviceSlots) -> None:
    key = slots.find_or_create_key(SEVEN)
    key.public_key().verify(key.sign(b"text", ECDSA_SHA256), b"text", ECDSA_SHA256)
    assert slots.find_or_create_key(SEVEN).public_key() == key.public_key()
    assert slots.find_key(ONE) is None


def test_ecdh_on_the_token_is_what_the_other_side_computes(slots: DeviceSlots) -> None:
    key, peer = slots.find_or_create_key(ONE), ec.generate_private_key(ec.SECP256R1())
    assert key.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), key.public_key())


def test_value_for_one_key_is_not_read_with_the_other(slots: DeviceSlots) -> None:
    one, seven = slots.find_or_create_key(ONE), slots.find_or_create_key(SEVEN)
    value = encrypt(b"text", seven.public_key())
    assert decrypt(value, seven.curve, lambda peer: seven.exchange(ec.ECDH(), peer)) == b"text"
    with pytest.raises(Exception, match="not encrypted for this device's key"):
        decrypt(value, one.curve, lambda peer: one.exchange(ec.ECDH(), peer))


def test_key_that_was_made_to_sign_says_so(slots: DeviceSlots, hsm: SoftHsm) -> None:
    hsm.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign", "--label", "tls", "--id", "01")
    key = slots.find_key(ONE)
    assert key is not None
    with pytest.raises(KeyStoreError) as refused:
        key.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP256R1()).public_key())
    assert refused.value.code == "key-signs-only"


def test_destroying_takes_one_place_alone_and_may_be_repeated(slots: DeviceSlots, hsm: SoftHsm) -> None:
    kept = slots.find_or_create_key(ONE).public_key()
    slots.find_or_create_key(SEVEN)
    for _ in range(2):
        slots.destroy(SEVEN, b"\x09")
    assert slots.find_key(SEVEN) is None
    found = slots.find_key(ONE)
    assert found is not None
    assert found.public_key() == kept
    assert hsm.labels("pubkey") == ["tls"]


def test_public_half_that_a_power_cut_left_alone_gives_way(slots: DeviceSlots, hsm: SoftHsm) -> None:
    hsm.make_key("tls", "07")
    hsm.pkcs11_tool("--delete-object", "--type", "privkey", "--id", "07")
    slots.find_or_create_key(SEVEN)
    assert (hsm.labels("privkey"), hsm.labels("pubkey")) == (["tls"], ["tls"])


def test_private_half_alone_is_named_and_stays(slots: DeviceSlots, hsm: SoftHsm) -> None:
    hsm.make_key("tls", "07")
    hsm.pkcs11_tool("--delete-object", "--type", "pubkey", "--id", "07")
    with pytest.raises(KeyStoreError) as refused:
        slots.find_or_create_key(SEVEN)
    assert refused.value.code == "key-public-missing"
    assert hsm.labels("privkey") == ["tls"]


def test_key_of_somebody_else_is_neither_used_nor_destroyed(slots: DeviceSlots, hsm: SoftHsm) -> None:
    hsm.make_key("vpn", "07")
    for act in (lambda: slots.find_or_create_key(SEVEN), lambda: slots.destroy(SEVEN, b"\x09")):
        with pytest.raises(KeyStoreError) as refused:
            act()
        assert refused.value.code == "slot-taken"
    assert hsm.labels("privkey") == ["vpn"]


def test_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError) as refused:
        DeviceSlots(tmp_path / "no.so", LABEL, PIN)
    assert refused.value.code == "hsm-module-missing"
