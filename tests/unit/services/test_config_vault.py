"""Configurations at rest: opened for whom they were sealed, as of when, by holders of the purpose's key alone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ownroot.errors import KeyStoreError
from ownroot.fleet.config_files import ConfigFile
from ownroot.keystore.sealing import Sealer
from ownroot.services.backend_keys import Keyring
from ownroot.services.config_vault import ConfigVault
from ownroot.services.records import ConfigChange, ConfigKey, ConfigScope, SealedKeyPurpose
from tests.support.registering import new_keyring

KEY = ConfigKey(1, ConfigScope.DEVICE, "dev-1")
FILES = (ConfigFile("a/b", "hidden ü", on_changed=("h", "x")), ConfigFile("c", "", unencrypted=True))


def sealed(vault: ConfigVault, key: ConfigKey = KEY, time: int = 5) -> ConfigChange:
    return ConfigChange(time, datetime(2026, 11, 23, tzinfo=UTC), "owner", "why", vault.seal(key, time, FILES))


def test_files_come_back_as_they_were_and_nothing_of_them_shows() -> None:
    vault = ConfigVault(new_keyring())
    change = sealed(vault)
    assert vault.open(KEY, change) == FILES
    assert b"hidden" not in change.sealed
    assert b"a/b" not in change.sealed
    assert vault.open(KEY, None) == ()


@pytest.mark.parametrize(
    "moved",
    [
        lambda key, change: (replace(key, name="dev-2"), change),
        lambda key, change: (replace(key, factory_id=2), change),
        lambda key, change: (replace(key, scope=ConfigScope.GROUP), change),
        lambda key, change: (key, replace(change, config_time=6)),
        lambda key, change: (key, replace(change, sealed=change.sealed[:-1] + bytes([change.sealed[-1] ^ 1]))),
    ],
)
def test_what_was_put_in_anothers_place_does_not_open(
    moved: Callable[[ConfigKey, ConfigChange], tuple[ConfigKey, ConfigChange]],
) -> None:
    vault = ConfigVault(new_keyring())
    with pytest.raises(KeyStoreError) as refused:
        vault.open(*moved(KEY, sealed(vault)))
    assert refused.value.code == "config-unreadable"


def test_process_without_the_purposes_key_neither_seals_nor_opens() -> None:
    vault = ConfigVault(Keyring({SealedKeyPurpose.GATEWAY_TLS: Sealer(bytes(32))}))
    for act in (lambda: sealed(vault), lambda: vault.open(KEY, sealed(ConfigVault(new_keyring())))):
        with pytest.raises(KeyStoreError) as refused:
            act()
        assert refused.value.code == "key-purpose"
