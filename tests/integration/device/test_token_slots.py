"""The keys a device reads its values with, on a real token: how often the token's module has to start for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.client.credentials import TokenCredentials
from ownroot.device.token_slots import TokenSlots
from ownroot.keystore.device_slots import DeviceSlots
from ownroot.keystore.labels import DEVICE_CERTIFICATE_IDS, DEVICE_KEY_IDS
from ownroot.keystore.pkcs11_module import Module
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    hsm = soft_hsm(tmp_path / "hsm")
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    return hsm


@pytest.fixture
def token(hsm: SoftHsm) -> Iterator[DeviceSlots]:
    token = DeviceSlots(hsm.module, LABEL, PIN)
    yield token
    token.close()


@pytest.fixture
def slots(hsm: SoftHsm, token: DeviceSlots, tmp_path: Path) -> TokenSlots:
    """Those of a device that uses the first places."""
    places = {"key_id": DEVICE_KEY_IDS[0], "certificate_id": DEVICE_CERTIFICATE_IDS[0]}
    return TokenSlots(tmp_path, TokenCredentials(module=hsm.module, token=LABEL, pin=PIN, **places), token)


@pytest.fixture
def module(hsm: SoftHsm) -> Iterator[Module]:
    module = Module.use(hsm.module)
    yield module
    module.release()


def test_present_key_alone_is_found_without_a_new_start(slots: TokenSlots, token: DeviceSlots, module: Module) -> None:
    present = token.find_or_create_key(DEVICE_KEY_IDS[0])
    starts = module.generation
    (found,) = slots.keys()
    assert found.public_key() == present.public_key()
    assert module.generation == starts


def test_both_keys_are_found_the_next_one_first(slots: TokenSlots, token: DeviceSlots) -> None:
    both = [token.find_or_create_key(key_id).public_key() for key_id in DEVICE_KEY_IDS]
    following, present = slots.keys()
    assert [present.public_key(), following.public_key()] == both


def test_token_without_any_key_is_looked_at_a_second_time(slots: TokenSlots, module: Module) -> None:
    starts = module.generation
    assert slots.keys() == ()
    assert module.generation == starts + 1
