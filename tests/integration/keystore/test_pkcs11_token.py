"""The token itself: PINs, tokens that are missing, doubled or gone for a while, threads, forks and sessions."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError
from ownroot.keystore.pkcs11 import Pkcs11KeyStore
from tests.support.softhsm import LABEL, PIN, SO_PIN, open_sessions

ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
WRONG_PIN = "999999"


def sign(key, data: bytes = b"text") -> bool:
    key.public_key().verify(key.sign(data, ECDSA_SHA256), data, ECDSA_SHA256)
    return True


def refused(act, *arguments) -> KeyStoreError:
    with pytest.raises(KeyStoreError) as caught:
        act(*arguments)
    assert not {PIN, WRONG_PIN, SO_PIN} & set(str(caught.value).replace("'", " ").split())
    return caught.value


# --- the PIN ----------------------------------------------------------------------------------------------------


def test_a_wrong_pin_is_named(open_store):
    assert refused(open_store(pin=WRONG_PIN).find, "root-ca").code == "pin-incorrect"


def test_a_refused_pin_is_never_tried_again(open_store, hsm):
    store = open_store(pin=WRONG_PIN)
    refused(store.find, "root-ca")
    hsm.pkcs11_tool("--change-pin", "--new-pin", WRONG_PIN)  # now it would be the right one
    for _ in range(3):
        assert refused(store.find, "root-ca").code == "pin-incorrect"
    assert refused(open_store(pin=WRONG_PIN).create, "root-ca").code == "pin-incorrect"


def test_a_new_pin_is_tried_where_another_was_refused(open_store):
    refused(open_store(pin=WRONG_PIN).find, "root-ca")
    assert sign(open_store().create("root-ca"))


def test_a_store_with_another_pin_than_the_open_one_is_refused_without_asking_the_token(open_store):
    open_store().find("root-ca")
    assert refused(open_store, LABEL, WRONG_PIN).code == "pin-incorrect"


def test_many_threads_try_a_wrong_pin_once(open_store, hsm):
    store = open_store(pin=WRONG_PIN)
    with ThreadPoolExecutor(8) as threads:
        codes = {error.code for error in threads.map(lambda _: refused(store.find, "root-ca"), range(32))}
    assert codes == {"pin-incorrect"}
    assert open_sessions(hsm.module) <= 1  # one attempt, one session


def test_a_locked_pin_is_named_and_not_tried(open_store, hsm):
    hsm.lock_pin()
    assert refused(open_store().find, "root-ca").code == "pin-locked"


def test_no_pin_shows_in_what_a_store_prints(store):
    key = store.create("root-ca")
    assert PIN not in f"{store!r} {key!r} {store} {key}"


# --- the module and the token -----------------------------------------------------------------------------------


def test_a_missing_module_is_named(open_store, tmp_path: Path):
    error = refused(open_store, LABEL, PIN, tmp_path / "no.so")
    assert error.code == "hsm-module-missing"
    assert "no.so" in error.detail


@pytest.mark.parametrize("kind", ["text", "library"])
def test_a_file_that_is_no_pkcs11_module_is_refused(open_store, tmp_path: Path, kind):
    other = Path(hashes.__file__) if kind == "text" else next(Path("/lib").glob("*-linux-gnu/libm.so.6"))
    assert refused(open_store, LABEL, PIN, other).code == "hsm-module-unusable"


def test_an_unknown_token_is_refused_naming_those_that_are_there(open_store, hsm):
    hsm.add_token("spare")
    error = refused(open_store(label="elsewhere").find, "root-ca")
    assert error.code == "token-unknown"
    assert "'elsewhere'" in error.detail
    assert "'factory-hsm'" in error.detail
    assert "'spare'" in error.detail


def test_two_tokens_of_one_label_are_refused_naming_their_serials(open_store, hsm):
    hsm.add_token()
    error = refused(open_store().find, "root-ca")
    assert error.code == "token-ambiguous"
    assert len(hsm.serials()) == 2
    assert all(serial in error.detail for serial in hsm.serials())


def test_two_tokens_of_two_labels_are_used_side_by_side(open_store, hsm):
    hsm.add_token("spare")
    first, second = open_store().create("root-ca"), open_store(label="spare").create("root-ca")
    assert first.public_key() != second.public_key()
    assert sign(first)
    assert sign(second)


def test_a_token_that_was_away_is_used_again_without_a_restart(store, hsm):
    key = store.create("root-ca")
    hsm.remove()
    for _ in range(2):
        error = refused(key.sign, b"text", ECDSA_SHA256)
        assert error.code == "token-gone"
        assert "plugged in" in error.detail
    hsm.put_back()
    assert sign(key)
    assert store.find("root-ca").public_key() == key.public_key()


def test_a_token_that_was_away_for_a_moment_is_not_noticed(store, hsm):
    key = store.create("root-ca")
    hsm.remove()
    hsm.put_back()
    assert sign(key)


def test_keys_of_a_token_that_is_away_are_not_reported_as_missing(store, hsm):
    store.create("root-ca")
    hsm.remove()
    for label in ("root-ca", "never-made"):
        assert refused(store.find, label).code == "token-gone"
    assert refused(store.create, "root-ca").code == "token-gone"
    hsm.put_back()
    assert store.find("root-ca") is not None
    assert store.find("never-made") is None


def test_a_token_that_comes_late_is_found(store, hsm):
    hsm.remove()
    assert refused(store.find, "root-ca").code == "token-unknown"
    hsm.put_back()
    assert sign(store.create("root-ca"))


def test_a_token_that_comes_back_with_another_pin_is_asked_once(store, hsm):
    key = store.create("root-ca")
    hsm.remove()
    refused(key.sign, b"text", ECDSA_SHA256)
    hsm.put_back()
    hsm.pkcs11_tool("--change-pin", "--new-pin", "31415926")
    for _ in range(2):
        assert refused(key.sign, b"text", ECDSA_SHA256).code == "pin-incorrect"


# --- threads, forks, sessions -----------------------------------------------------------------------------------


def test_many_threads_sign_at_once(store, hsm):
    key = store.create("root-ca")
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda number: sign(key, b"%d" % number), range(400)))
    assert 2 <= open_sessions(hsm.module) <= 1 + 8  # the login's, and one for each thread at most


def test_many_threads_outlive_a_token_that_is_away(store, hsm):
    key = store.create("root-ca")
    stop = threading.Event()

    def work(_number: int) -> set[str]:
        outcomes = set()
        while not stop.is_set():
            try:
                outcomes.add("signed" if sign(key) else "")
            except KeyStoreError as error:
                outcomes.add(error.code)
        return outcomes

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(work, number) for number in range(4)]
        for _ in range(20):
            hsm.remove()
            hsm.put_back()
        stop.set()
        outcomes = set().union(*(each.result() for each in running))
    assert outcomes <= {"signed", "token-gone"}
    assert sign(key)


def test_threads_that_ended_leave_no_sessions_behind(store, hsm):
    key = store.create("root-ca")
    for _ in range(20):
        thread = threading.Thread(target=sign, args=(key,))
        thread.start()
        thread.join()
    assert open_sessions(hsm.module) == 2


def test_a_closed_store_leaves_no_session_and_its_keys_sign_no_more(hsm):
    store = Pkcs11KeyStore(hsm.module, LABEL, PIN)
    key = store.create("root-ca")
    assert open_sessions(hsm.module) == 2
    store.close()
    assert open_sessions(hsm.module) == 0
    assert refused(key.sign, b"text", ECDSA_SHA256).code == "key-store-closed"


def test_a_store_that_was_refused_leaves_no_session_either(hsm):
    store = Pkcs11KeyStore(hsm.module, LABEL, WRONG_PIN)
    refused(store.find, "root-ca")
    store.close()
    assert open_sessions(hsm.module) == 0


def test_a_store_is_closed_when_the_last_signature_is_done(hsm):
    store = Pkcs11KeyStore(hsm.module, LABEL, PIN)
    key = store.create("root-ca")

    def work(_number: int) -> str:
        while True:
            try:
                sign(key)
            except KeyStoreError as error:
                return error.code

    with ThreadPoolExecutor(4) as threads:
        outcomes = threads.map(work, range(4))
        store.close()
    assert set(outcomes) == {"key-store-closed"}


def test_closing_one_of_two_stores_leaves_the_other_at_work(open_store, hsm):
    key = open_store().create("root-ca")
    second = Pkcs11KeyStore(hsm.module, LABEL, PIN)
    second.find("root-ca")
    second.close()
    assert sign(key)


def test_a_forked_child_signs_in_sessions_of_its_own_and_the_parent_goes_on(store):
    key = store.create("root-ca")
    child = os.fork()
    if not child:
        os._exit(0 if sign(key) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sign(key)
