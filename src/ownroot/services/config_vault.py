"""Configurations at rest: sealed under a purpose of their own, which gateway workers hold and CA keys are not under."""

import json
from collections.abc import Iterable

from ownroot.errors import KeyStoreError
from ownroot.fleet.config_files import ConfigFile
from ownroot.services.backend_keys import Keyring
from ownroot.services.records import ConfigChange, ConfigKey, SealedKeyPurpose


class ConfigVault:
    """Seals the files of one configuration as a whole, names included. Whose it is and of when is bound in.

    So nobody who can write to the database alone can give a device another one's configuration, or an old one again.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, key: ConfigKey, config_time: int, files: Iterable[ConfigFile]) -> bytes:
        """Raises KeyStoreError `key-purpose`."""
        text = json.dumps([[file.name, file.value, file.unencrypted, file.on_changed] for file in files])
        sealer = self._keyring.sealer(SealedKeyPurpose.DEVICE_CONFIG)
        return sealer.seal(text.encode("ascii"), bound_to=_binding(key, config_time))

    def open(self, key: ConfigKey, change: ConfigChange | None) -> tuple[ConfigFile, ...]:
        """Return the files; none if there is no configuration.

        Raises:
            KeyStoreError: `key-purpose`, `config-unreadable`.
        """
        if change is None:
            return ()
        sealer = self._keyring.sealer(SealedKeyPurpose.DEVICE_CONFIG)
        try:
            text = sealer.open(change.sealed, bound_to=_binding(key, change.config_time))
        except KeyStoreError as exc:
            raise KeyStoreError(
                "config-unreadable",
                "A stored configuration cannot be opened: the key-encryption key is not the one it was sealed with, or "
                "the stored value is damaged. Restore the key-encryption key that belongs to this database.",
            ) from exc
        return tuple(ConfigFile(name, value, plain, tuple(handler)) for name, value, plain, handler in json.loads(text))


def _binding(key: ConfigKey, config_time: int) -> bytes:
    return json.dumps(["config", key.factory_id, key.scope.value, key.name, config_time]).encode("ascii")
