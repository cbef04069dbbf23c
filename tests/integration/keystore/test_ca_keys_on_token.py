"""Online CA keys on SoftHSM2: what is said of a token that does not serve, to whom, and who has another try."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError, OwnrootError, UnavailableError
from ownroot.keystore.ca_keys_on_token import CaKeysOnToken
from tests.support.softhsm import LABEL, PIN, SoftHsm, open_sessions

KEY_ID, PREFIX = b"\x01" * 16, "ownroot:1111111111111111:"
NAME = PREFIX + "acme:online-ca"
WRONG_PIN = "999999"
ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
OpenKeys = Callable[..., CaKeysOnToken]


@pytest.fixture
def open_keys(hsm: SoftHsm) -> Iterator[OpenKeys]:
    opened: list[CaKeysOnToken] = []

    def open_keys(pin: str = PIN) -> CaKeysOnToken:
        opened.append(CaKeysOnToken(hsm.module, LABEL, pin))
        return opened[-1]

    yield open_keys
    for keys in opened:
        keys.close()
    assert open_sessions(hsm.module) == 0


def refused(kind: type[OwnrootError], act: Callable[..., object], *arguments: object) -> OwnrootError:
    with pytest.raises(kind) as caught:
        act(*arguments)
    assert LABEL not in caught.value.detail
    assert not {PIN, WRONG_PIN} & set(f"{caught.value} {caught.value.context}".split())
    return caught.value


def test_a_token_that_was_pulled_out_may_come_back_and_is_named_in_the_log_alone(open_keys: OpenKeys, hsm: SoftHsm):
    keys = open_keys()
    key = keys.open(KEY_ID, NAME, keys.create(KEY_ID, NAME))
    hsm.remove()
    for act in (
        lambda: key.sign(b"text", ECDSA_SHA256),
        lambda: keys.ids(PREFIX),
        lambda: keys.create(KEY_ID, NAME),
        lambda: keys.destroy(KEY_ID, PREFIX),
        lambda: keys.require(KEY_ID),
    ):
        error = refused(UnavailableError, act)
        assert error.code == "token-gone"
        assert LABEL in error.context["cause"]
    hsm.put_back()
    assert key.sign(b"text", ECDSA_SHA256)
    keys.require(KEY_ID)


def test_a_token_that_was_never_there_may_come(open_keys: OpenKeys, hsm: SoftHsm):
    hsm.remove()
    keys = open_keys()
    assert refused(UnavailableError, keys.require, None).code == "token-unknown"
    hsm.put_back()
    keys.require(None)


def test_a_wrong_pin_is_no_matter_of_time_and_is_never_tried_again(open_keys: OpenKeys, hsm: SoftHsm):
    keys = open_keys(WRONG_PIN)
    assert refused(KeyStoreError, keys.require, None).code == "pin-incorrect"
    hsm.pkcs11_tool("--change-pin", "--new-pin", WRONG_PIN)  # now it would be the right one
    assert refused(KeyStoreError, keys.create, KEY_ID, NAME).code == "pin-incorrect"


def test_a_missing_module_is_named_before_anything_is_asked(hsm: SoftHsm, tmp_path: Path):
    with pytest.raises(KeyStoreError) as caught:
        CaKeysOnToken(tmp_path / "no.so", LABEL, PIN)
    assert caught.value.code == "hsm-module-missing"


def test_half_a_key_is_listed_and_destroyed(open_keys: OpenKeys, hsm: SoftHsm):
    keys = open_keys()
    keys.create(KEY_ID, NAME)
    hsm.pkcs11_tool("--delete-object", "--type", "privkey", "--id", KEY_ID.hex())
    assert keys.ids(PREFIX) == {KEY_ID}
    keys.destroy(KEY_ID, PREFIX)
    assert (keys.ids(PREFIX), hsm.labels("pubkey")) == (frozenset(), [])


def test_a_key_put_in_place_of_ours_signs_nothing(open_keys: OpenKeys, hsm: SoftHsm):
    keys = open_keys()
    key = keys.open(KEY_ID, NAME, keys.create(KEY_ID, NAME))
    keys.destroy(KEY_ID, PREFIX)
    hsm.make_key(NAME, KEY_ID.hex())
    assert refused(KeyStoreError, key.sign, b"text", ECDSA_SHA256).code == "key-mismatch"


def test_many_threads_make_use_and_destroy_keys_at_once(open_keys: OpenKeys, hsm: SoftHsm):
    keys = open_keys()

    def live(number: int) -> None:
        key_id = bytes([number]) * 16
        key = keys.open(key_id, NAME, keys.create(key_id, NAME))
        for _ in range(20):
            key.sign(b"text", ECDSA_SHA256)
        assert key_id in keys.ids(PREFIX)
        keys.destroy(key_id, PREFIX)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(live, range(16)))
    assert (hsm.labels(), hsm.labels("pubkey")) == ([], [])
