"""Private keys in memory, for demos and tests: gone with the process."""

from ownroot.errors import KeyStoreError
from ownroot.keystore.labels import require_label
from ownroot.pki.signer import PrivateKey, generate_key


class MemoryKeyStore:
    """A key store that forgets."""

    def __init__(self) -> None:
        self._keys: dict[str, PrivateKey] = {}

    def create(self, label: str) -> PrivateKey:
        """Make a P-256 key under a free label."""
        require_label(label)
        if label in self._keys:
            raise KeyStoreError("key-exists", f"There is a key {label!r} already, and a key is never replaced.")
        return self._keys.setdefault(label, generate_key())

    def find(self, label: str) -> PrivateKey | None:
        """Return the key under this label, or None."""
        require_label(label)
        return self._keys.get(label)
